"""Executors: the same bits from threads, processes and a cluster, workers that die, executors that fail."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import scalinglaws as sl
from distributed import Client
from loky import ProcessPoolExecutor as LokyExecutor
from loky import get_reusable_executor
from numpy.testing import assert_array_equal
from parts import be_odd, complain, die_once, square_or_die
from scalinglaws import _core
from scalinglaws.executors import Workers

POWER = sl.Law(
    "L ~ E + A / N**alpha",
    params={
        "E": sl.Param("positive", start=(0.1, 5.0)),
        "A": sl.Param("positive", start=(1.0, 1e5), sampling="log"),
        "alpha": sl.Param("positive", start=(0.05, 1.0)),
    },
)
TESTS = str(Path(__file__).parent)
SPAWN = get_context("spawn")


def ladder(n=40, noise=0.01, seed=0):
    N = np.geomspace(1e7, 1e10, n)
    rng = np.random.default_rng(seed)
    run = np.array([f"run {i // 4}" for i in range(n)])
    return {"N": N, "L": (1.7 + 400.0 / N**0.34) * np.exp(noise * rng.standard_normal(n)), "run": run}


def families():
    """Three groups, the last of which has too few rows."""
    parts = [ladder(20, seed=seed) for seed in (1, 2)] + [ladder(2)]
    table = {name: np.concatenate([part[name] for part in parts]) for name in ("N", "L")}
    return {**table, "family": np.repeat(["a", "b", "c"], [20, 20, 2])}


@pytest.fixture(scope="module")
def fit():
    return sl.fit(POWER, ladder(), residual="log", starts=64, keep=["run"])


# ------------------------------------------------------------------ executors


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Client of a scheduler with two workers, each a process, as they are started from a shell."""
    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    place = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]
    each = ["--nworkers", "2", "--nthreads", "1", "--local-directory", str(folder)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([TESTS, *filter(None, [os.environ.get("PYTHONPATH")])]),
        # A part whose worker died is not given to another one by dask, so that the engine has to do it.
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
    }
    with ExitStack() as stack:
        for command in (["scheduler", "--port", "0", *place], ["worker", *place, *each]):
            log = stack.enter_context(open(folder / f"{command[0]}.log", "w"))
            stack.enter_context(
                running([sys.executable, "-m", "dask", *command], env=environment, stderr=log)
            )
        deadline = time.monotonic() + 120
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        client = stack.enter_context(Client(scheduler_file=str(file), timeout=120))
        client.wait_for_workers(2, timeout=120)
        yield client


@contextmanager
def running(command, **options):
    """A process that is ended at the end, in whatever state it is."""
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def pools(cluster):
    """One executor of each kind."""
    with (
        ThreadPoolExecutor(3) as threads,
        ProcessPoolExecutor(2, mp_context=SPAWN) as processes,
        LokyExecutor(2) as loky,
    ):
        yield {"threads": threads, "processes": processes, "loky": loky, "dask": cluster}


@pytest.fixture(params=["threads", "processes", "loky", "dask"])
def executor(request, pools):
    return pools[request.param]


def same_draws(one, other):
    assert one.status == other.status
    for name in ("draws", "objective", "start"):
        assert_array_equal(getattr(one, name), getattr(other, name))


# ------------------------------------------------------------------ the same bits


def test_draws_of_clusters_are_those_of_one_process(fit, executor):
    here = fit.bootstrap(200, by="run", rng=5, threads=1)
    same_draws(here, fit.bootstrap(200, by="run", rng=5, executor=executor))


def test_wild_draws_with_fresh_starts_are_those_of_one_process(fit, executor):
    options = {"kind": "wild", "by": "run", "starts_per_draw": 2, "rng": 3}
    same_draws(fit.bootstrap(60, **options), fit.bootstrap(60, executor=executor, **options))


def test_a_jackknife_is_that_of_one_process(fit, executor):
    for by in (None, "run"):
        here, there = fit.jackknife(by), fit.jackknife(by, executor=executor)
        assert (here.keys, here.status) == (there.keys, there.status)
        for name in ("draws", "objective", "valid", "cook", "scaled"):
            assert_array_equal(getattr(here, name), getattr(there, name))


def test_profiles_are_those_of_one_process(fit, executor):
    here, there = fit.profile("alpha"), fit.profile("alpha", executor=executor)
    assert (here.interval, here.refits, here.message) == (there.interval, there.refits, there.message)
    for name in ("values", "objective", "theta"):
        assert_array_equal(getattr(here, name), getattr(there, name))
    pair = ("A", "alpha")
    here, there = fit.profile(pair, points=4), fit.profile(pair, points=4, executor=executor)
    assert (here.refits, here.closed, here.message) == (there.refits, there.closed, there.message)
    for name in ("outline", "values", "objective", "statistic"):
        assert_array_equal(getattr(here, name), getattr(there, name))


@pytest.mark.filterwarnings("ignore::scalinglaws.FitWarning")
@pytest.mark.parametrize("shared", [None, "alpha"])
def test_fits_of_groups_are_those_of_one_process(executor, shared):
    options = {"by": "family", "residual": "log", "starts": 32, "shared": shared}
    here = sl.fit_each(POWER, families(), **options)
    there = sl.fit_each(POWER, families(), executor=executor, **options)
    assert list(here) == list(there)
    assert here.failures == there.failures
    assert len(here.failures) == (shared is None)
    for name, column in here.table.items():
        assert_array_equal(column, there.table[name])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_number_of_workers_changes_no_bit(fit, count):
    with ThreadPoolExecutor(count) as pool:
        same_draws(fit.bootstrap(77, rng=1), fit.bootstrap(77, rng=1, executor=pool))


def test_forked_servers_and_threads_of_a_worker_change_no_bit(fit):
    with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as pool:
        same_draws(fit.bootstrap(40), fit.bootstrap(40, executor=pool, threads=2))


def test_a_large_table_goes_to_dask_workers_without_a_complaint_about_its_size(cluster):
    # More than dask takes with the description of the work without a warning, which would be an error here.
    table = ladder(500_000)
    table.pop("run")
    large = sl.fit(POWER, table, residual="log", starts={"E": 1.7, "A": 400.0, "alpha": 0.34})
    assert len(pickle.dumps(large._problem)) > 10_000_000
    same_draws(large.bootstrap(4), large.bootstrap(4, executor=cluster))


def test_what_is_shared_is_pickled_once_and_the_parts_are_small(fit):
    sent = []

    class Spy(ThreadPoolExecutor):
        def submit(self, function, /, *args):
            sent.append(args)
            return super().submit(function, *args)

    with Spy(2) as pool:
        fit.bootstrap(100, executor=pool)
    payloads = {id(arg): arg for args in sent for arg in args if isinstance(arg, bytes) and len(arg) > 1000}
    assert len(sent) == 16
    assert len(payloads) == 1
    # Rows, starts and the law, without what the fit knows besides.
    assert len(next(iter(payloads.values()))) < len(pickle.dumps(fit))


@pytest.mark.parametrize("module", [pickle, cloudpickle])
def test_laws_recipes_problems_and_fits_survive_pickling(fit, module):
    recipe = sl.recipe.Recipe.make(POWER, residual="log", starts=32)
    law, recipe, problem, again = module.loads(module.dumps((POWER, recipe, fit._problem, fit)))
    assert law == POWER
    assert recipe.fit(ladder()).values == sl.fit(POWER, ladder(), residual="log", starts=32).values
    assert_array_equal(problem.target, fit._problem.target)
    same_draws(again.bootstrap(20), fit.bootstrap(20))


def test_progress_is_told_in_draws_from_the_calling_thread(fit):
    seen = []

    def progress(done, total):
        seen.append((done, total, threading.current_thread() is threading.main_thread()))

    with ThreadPoolExecutor(2) as pool:
        fit.bootstrap(100, executor=pool, progress=progress)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1] == (100, 100, True)
    assert len(seen) == 16


# ------------------------------------------------------------------ workers that die


class Deadly:
    """An executor one of whose workers is killed, once."""

    def __init__(self, inner, marker):
        self.inner, self.marker = inner, str(marker)

    def submit(self, function, /, *args):
        return self.inner.submit(die_once, self.marker, function, *args)

    def shutdown(self, wait=True):
        self.inner.shutdown(wait=wait)


@pytest.mark.parametrize(
    "make",
    [
        partial(ProcessPoolExecutor, 2, mp_context=SPAWN),
        partial(LokyExecutor, 1),
        partial(get_reusable_executor, 1),
    ],
    ids=["processes", "loky", "loky reusable"],
)
def test_a_pool_that_a_killed_worker_broke_is_replaced_and_nothing_is_lost(fit, tmp_path, make):
    made = []

    def factory():
        made.append(Deadly(make(), tmp_path / "killed"))
        return made[-1]

    there = fit.bootstrap(64, by="run", rng=2, executor=factory)
    assert len(made) == 2
    same_draws(fit.bootstrap(64, by="run", rng=2), there)
    with pytest.raises(RuntimeError):
        made[-1].submit(len, ())


def test_a_part_that_dask_lost_with_its_worker_is_handed_out_again(fit, cluster, tmp_path):
    pool = cluster.get_executor(pure=False)
    there = fit.bootstrap(64, rng=2, executor=Deadly(pool, tmp_path / "killed"))
    assert (tmp_path / "killed").exists()
    same_draws(fit.bootstrap(64, rng=2), there)


def test_killing_a_dask_worker_in_the_middle_loses_nothing(fit, cluster):
    cluster.wait_for_workers(2, timeout=120)
    killed = []

    def kill(done, total):
        if not killed:
            killed.extend(list(cluster.run(os.getpid).values())[:1])
            os.kill(killed[0], signal.SIGKILL)

    there = fit.bootstrap(400, starts_per_draw=8, rng=2, executor=cluster, progress=kill)
    assert killed
    same_draws(fit.bootstrap(400, starts_per_draw=8, rng=2), there)
    cluster.wait_for_workers(2, timeout=120)


def test_groups_of_a_killed_worker_are_fitted_by_another(tmp_path):
    options = {"by": "family", "residual": "log", "starts": 32}
    table = {name: column[:40] for name, column in families().items()}
    here = sl.fit_each(POWER, table, **options)
    there = sl.fit_each(
        POWER, table, executor=lambda: Deadly(LokyExecutor(1), tmp_path / "killed"), **options
    )
    assert (tmp_path / "killed").exists()
    assert [fit.values for fit in here.values()] == [fit.values for fit in there.values()]


def test_a_broken_pool_that_cannot_be_replaced_is_an_error_that_says_what_to_do(fit, tmp_path):
    with (
        ProcessPoolExecutor(1, mp_context=SPAWN) as pool,
        pytest.raises(sl.BackendError, match=r"^0 of 64 parts .* pass a function that makes it") as caught,
    ):
        fit.bootstrap(64, executor=Deadly(pool, tmp_path / "killed"))
    assert isinstance(caught.value.__cause__, BrokenProcessPool)


def test_what_was_done_before_a_pool_broke_is_kept_if_asked_for():
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool, Workers(pool) as workers:
        with pytest.warns(RuntimeWarning, match=r"3 of 5 parts of the work are done, but .* left out"):
            answers = workers.run(square_or_die, range(5), shared=10, on_interrupt="keep")
    assert answers == [10, 11, 14, None, None]


def test_a_pool_that_broke_leaves_no_worker_behind():
    before = set(active_children())
    with Workers(partial(ProcessPoolExecutor, 2, mp_context=SPAWN)) as workers:
        with pytest.raises(sl.BackendError):
            workers.run(square_or_die, [1] * 20 + [3] * 20, shared=10)
    deadline = time.monotonic() + 30
    while (left := set(active_children()) - before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == set()


def test_a_part_that_always_kills_its_worker_ends_the_call():
    with Workers(partial(ProcessPoolExecutor, 1, mp_context=SPAWN)) as workers:
        with pytest.raises(sl.BackendError, match=r"3 of 5 parts .* but the executor broke"):
            workers.run(square_or_die, range(5), shared=10)


def test_a_bootstrap_whose_executor_is_lost_keeps_the_draws_it_has(fit):
    class Closing(ThreadPoolExecutor):
        def submit(self, function, /, *args):
            if self.left == 0:
                raise RuntimeError("closed")
            self.left -= 1
            return super().submit(function, *args) if self.left else super().submit(bad)

    def bad():
        raise OSError("the line is down")

    with Closing(1) as pool:
        pool.left = 8
        with pytest.warns(RuntimeWarning, match="7 of 8 parts of the work are done, but .*: closed"):
            boot = fit.bootstrap(80, executor=pool, on_interrupt="keep")
    assert boot.failures == {"cancelled": 10}
    assert np.isnan(boot.draws[70:]).all()
    assert_array_equal(boot.draws[:70], fit.bootstrap(70).draws)


# ------------------------------------------------------------------ executors that fail


class Refusing:
    def __init__(self, times=1000):
        self.left, self.pool = times, ThreadPoolExecutor(1)

    def submit(self, function, /, *args):
        if self.left:
            self.left -= 1
            raise ConnectionError("nobody listens")
        return self.pool.submit(function, *args)


def test_an_executor_that_takes_no_work_is_a_clear_error(fit):
    with pytest.raises(
        sl.BackendError, match=r"parts of the work are done, but the executor .*nobody listens"
    ) as caught:
        fit.bootstrap(50, executor=Refusing())
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_a_client_that_was_closed_is_a_clear_error(fit, cluster):
    with Client(cluster.scheduler.address) as client:
        pass
    with pytest.raises(sl.BackendError, match=r"^0 of \d+ parts of the work are done, but the executor"):
        fit.bootstrap(50, executor=client)


def test_an_executor_that_refuses_now_and_then_gets_the_work_again(fit):
    executor = Refusing(times=2)
    with executor.pool:
        same_draws(fit.bootstrap(50), fit.bootstrap(50, executor=executor))


def test_a_function_that_makes_no_executor_is_a_clear_error(fit):
    def fail():
        raise OSError("no such queue")

    with pytest.raises(sl.BackendError, match=r"could not be made: OSError: no such queue"):
        fit.bootstrap(50, executor=fail)
    with pytest.raises(TypeError, match="returned 3, which has no method submit"):
        fit.bootstrap(50, executor=lambda: 3)


@pytest.mark.parametrize("call", ["bootstrap", "jackknife", "profile", "fit_each"])
def test_what_is_no_executor_is_refused_by_every_call(fit, call):
    calls = {
        "bootstrap": lambda: fit.bootstrap(5, executor="dask"),
        "jackknife": lambda: fit.jackknife(executor="dask"),
        "profile": lambda: fit.profile("alpha", executor="dask"),
        "fit_each": lambda: sl.fit_each(POWER, families(), by="family", executor="dask"),
    }
    with pytest.raises(TypeError, match=r"executor must have the method submit .* not 'dask'"):
        calls[call]()


def test_an_exception_of_a_part_is_raised_as_it_is_and_not_tried_again(executor, tmp_path):
    with Workers(executor) as workers, pytest.raises(sl.DataError, match="the column is empty") as caught:
        workers.run(complain, [0], shared=str(tmp_path))
    assert (caught.value.column, caught.value.rows) == ("loss", (3,))
    assert "in complain" in str(caught.value.__cause__)
    assert len(list(tmp_path.iterdir())) == 1


def test_an_exception_that_cannot_travel_is_told_in_words(pools):
    with Workers(pools["processes"]) as workers:
        with pytest.raises(sl.BackendError, match="OddError: column loss, row 3"):
            workers.run(be_odd, [0])
        assert workers.run(pow, [3], shared=2) == [8]


def test_what_cannot_be_pickled_is_an_error_at_once(pools):
    with Workers(pools["processes"]) as workers, pytest.raises((AttributeError, pickle.PicklingError)):
        workers.run(lambda shared, task: task, [1])


def test_an_executor_that_was_handed_over_stays_open_and_one_that_was_made_is_shut_down(fit):
    made = []

    def factory():
        made.append(ThreadPoolExecutor(1))
        return made[0]

    fit.bootstrap(10, executor=factory)
    with pytest.raises(RuntimeError, match="after shutdown"):
        made[0].submit(len, ())
    with ThreadPoolExecutor(1) as pool:
        fit.bootstrap(10, executor=pool)
        assert pool.submit(len, "ab").result() == 2


# ------------------------------------------------------------------ interrupts


class Slow(ThreadPoolExecutor):
    """One worker that waits before each part, so that parts are pending when something happens."""

    def submit(self, function, /, *args):
        future = super().submit(self.later, function, *args)
        self.futures = [*getattr(self, "futures", []), future]
        return future

    @staticmethod
    def later(function, *args):
        time.sleep(0.05)
        return function(*args)


def interrupt(done, total):
    if done >= 20:
        raise KeyboardInterrupt


def test_an_interrupt_cancels_what_is_pending(fit):
    with Slow(1) as pool:
        with pytest.raises(KeyboardInterrupt):
            fit.bootstrap(80, executor=pool, progress=interrupt)
        assert sum(future.cancelled() for future in pool.futures) >= 4


def test_an_interrupt_keeps_what_is_done_if_asked_for(fit):
    with Slow(1) as pool:
        boot = fit.bootstrap(80, executor=pool, progress=interrupt, on_interrupt="keep")
    done = np.array(boot.status) != "cancelled"
    assert done.sum() == 20
    assert_array_equal(boot.draws[:20], fit.bootstrap(20).draws)
    assert np.isnan(boot.draws[~done]).all()
    with Slow(1) as pool:
        left = fit.jackknife(executor=pool, progress=interrupt, on_interrupt="keep")
    assert left.status.count("cancelled") == left.failed == 20
    assert_array_equal(left.draws[:20], fit.jackknife().draws[:20])


LONG = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import numpy as np
import scalinglaws as sl

if __name__ == "__main__":
    rng = np.random.default_rng(0)
    N = 10 ** rng.uniform(7, 10, 400)
    law = sl.Law("L ~ A / N**alpha", params={"A": sl.Param("positive"), "alpha": sl.Param("positive")})
    runs = {"N": N, "L": 50 / N**0.12 * np.exp(0.01 * rng.standard_normal(400))}
    fit = sl.fit(law, runs, residual="log", starts={"A": 50.0, "alpha": 0.1})
    make = lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    say = lambda done, total: print("done", done, flush=True)
    try:
        fit.bootstrap(100_000, executor=make, progress=say)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs signals and process groups")
def test_ctrl_c_reaches_the_workers_and_ends_the_program(tmp_path):
    script = tmp_path / "long.py"
    script.write_text(LONG)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout.readline().startswith("done")
        # As a terminal does it: to the whole group.
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        assert "interrupted" in out
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


# ------------------------------------------------------------------ workers that differ


class Elsewhere(ThreadPoolExecutor):
    """Threads that are taken for a worker with another version or processor."""

    def __init__(self, **build):
        super().__init__(1)
        self.build = build

    def submit(self, function, /, version, *args):
        def work():
            answer, error, build = function(self.build.get("version", version), *args)
            return answer, error, {**build, **self.build}

        return super().submit(work)


def test_a_worker_with_another_version_is_refused(fit):
    with Elsewhere(version="0.0.1") as pool, pytest.raises(sl.BackendError, match=r"this process 0\.0\.1"):
        fit.bootstrap(10, executor=pool)


def test_a_worker_with_another_instruction_set_is_reported_once(fit):
    with Elsewhere(isa="neon") as pool, pytest.warns(RuntimeWarning, match="a worker with neon") as caught:
        fit.bootstrap(10, executor=pool)
    assert len(caught) == 1
    assert "SCALINGLAWS_ISA" in str(caught[0].message)


def test_a_worker_says_which_instruction_set_it_uses(fit, monkeypatch):
    monkeypatch.setenv("SCALINGLAWS_ISA", "portable")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        there = fit.bootstrap(10, executor=partial(ProcessPoolExecutor, 1, mp_context=SPAWN))
    here = _core.build_info()["isa"]
    assert any("worker with portable" in str(warning.message) for warning in caught) == (here != "portable")
    np.testing.assert_allclose(there.draws, fit.bootstrap(10).draws, rtol=1e-6)

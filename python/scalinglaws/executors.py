"""Work for an executor: other processes, or other machines.

Whatever the package splits into independent parts goes through `Workers`, which hands the parts to an
executor, hands a part out again when the worker that had it died, and returns the answers in order. Without
an executor it does the parts here, one after the other, so that there is one way through the code.

A part is a function of what all parts share and of its own task, and of nothing else: which worker does it,
and when, changes no bit of the answer.
"""

from __future__ import annotations

import os
import pickle
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Protocol, TypeAlias, cast

from . import _core
from .backends import Interrupt, Progress
from .errors import BackendError

__all__ = ["Count", "ExecutorLike", "Submits", "Workers"]

# Parts for each worker: the last one to finish keeps the others waiting for an eighth of the time at most.
_PARTS = 8
# Workers to reckon with where the executor does not say how many it has.
_UNKNOWN = 16
# Times that a part is handed out again before the engine gives up.
_RETRIES = 3
# Bytes from which data go to dask's workers themselves and not with the description of the work.
_LARGE = 1 << 20
# Seconds in which an executor that broke reports that of all its futures.
_SETTLE = 0.5
# What this process has read of what is shared: one entry, because a worker serves one call at a time.
_READ: dict[str, Any] = {}


class Submits(Protocol):
    """What is needed of an executor; every `concurrent.futures.Executor` and dask's ``Client`` have it."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Return a future with ``result``, ``cancel`` and ``add_done_callback``."""


ExecutorLike: TypeAlias = Submits | Callable[[], Submits]
"""An executor, or a function without arguments that makes one."""


class Workers:
    """The workers of an executor, for one call of the package; use it with ``with``.

    Parameters
    ----------
    executor : executor, callable or None
        Anything with the method ``submit`` of `concurrent.futures.Executor`, or dask's ``Client``; it stays
        open. Or a function that makes one, which is called when work begins and again when the executor has
        broken, and whose executors are shut down at the end. None: everything is done in this process.

    Raises
    ------
    TypeError
        If it is none of these.

    Notes
    -----
    A part is handed out again up to three times if its worker is lost, that is, if the future fails without
    an answer of the part. An exception that the part itself raises is an answer: it is raised here, once.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(2) as pool, Workers(pool) as workers:
    ...     workers.run(pow, [1, 2, 3], shared=2)
    [2, 4, 8]
    """

    def __init__(self, executor: ExecutorLike | None) -> None:
        self._make: Callable[[], Submits] | None = None
        self._executor: Submits | None = None
        self._client: Any = None
        if executor is None:
            self.local = True
            return
        self.local = False
        if isinstance(executor, type) or not hasattr(executor, "submit"):
            if not callable(executor):
                raise TypeError(
                    "executor must have the method submit of concurrent.futures.Executor, or be a function "
                    f"that makes one, not {executor!r}"
                )
            self._make = cast("Callable[[], Submits]", executor)
        else:
            self._adopt(executor)

    def __enter__(self) -> Workers:
        if self._make is not None:
            try:
                made = self._make()
            except Exception as error:
                raise BackendError(f"the executor could not be made: {_said(error)}") from error
            if not hasattr(made, "submit"):
                raise TypeError(
                    f"the function given as executor returned {made!r}, which has no method submit"
                )
            self._adopt(made)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._make is not None:
            # After a failure nobody waits for what still runs.
            self._shut(wait=kind is None)

    def ranges(self, count: int) -> list[tuple[int, int]]:
        """Split the numbers from 0 into parts for the workers.

        Parameters
        ----------
        count : int
            How many numbers.

        Returns
        -------
        list of (first, stop)
            Ranges of nearly equal length, in order; the whole in this process.
        """
        parts = 1 if self.local else max(1, min(count, _PARTS * self._size()))
        edges = [count * part // parts for part in range(parts + 1)]
        return list(pairwise(edges))

    def run(
        self,
        function: Callable[[Any, Any], Any],
        tasks: Sequence[Any],
        *,
        shared: Any = None,
        done: Callable[[int], object] | None = None,
        on_interrupt: Interrupt = "raise",
    ) -> list[Any]:
        """Do all parts.

        Parameters
        ----------
        function : callable
            Called as ``function(shared, task)``: a function of a module, which must not change what is
            shared. It, the tasks and its answers are pickled.
        tasks : sequence
            One entry for each part.
        shared : object
            What all parts need; it is pickled once.
        done : callable, optional
            Called in this thread with the number of each part that is done.
        on_interrupt : {"raise", "keep"}
            Whether Ctrl-C and the loss of the workers raise, or leave undone what is not done yet.

        Returns
        -------
        list
            An answer for each task, in order; None for those that were not done.

        Raises
        ------
        BackendError
            If parts are lost again and again, or the executor takes no more work.
        Exception
            What a part raises.

        Warns
        -----
        RuntimeWarning
            If a worker's processor rounds differently, or, with ``on_interrupt="keep"``, work was lost.
        """
        answers: list[Any] = [None] * len(tasks)
        if self.local:
            try:
                for number, task in enumerate(tasks):
                    answers[number] = function(shared, task)
                    if done is not None:
                        done(number)
            except KeyboardInterrupt:
                if on_interrupt == "raise":
                    raise
            return answers
        job = _Job(self, function, tasks, shared)
        try:
            job.start()
            while job.waiting:
                for number, answer in job.collect():
                    answers[number] = answer
                    if done is not None:
                        done(number)
        except KeyboardInterrupt:
            if on_interrupt == "raise":
                raise
        except _GaveUp as error:
            if on_interrupt == "raise" or len(job.waiting) == len(tasks):
                raise BackendError(str(error)) from error.__cause__
            warnings.warn(f"{error}; the rest is left out", RuntimeWarning, stacklevel=5)
        finally:
            job.finish()
        return answers

    # ---------------------------------------------------------------- for the job

    def submit(self, *args: Any) -> Any:
        """Hand something to the executor as it is."""
        assert self._executor is not None
        return self._executor.submit(*args)

    def renew(self) -> None:
        """Make a new executor, where a function is there to make one."""
        if self._make is not None:
            self._shut(wait=False)
            self.__enter__()

    def ship(self, payload: bytes, *, everywhere: bool = False) -> Any:
        """Return what to hand over for these bytes to arrive at one worker, or everywhere."""
        if self._client is None or len(payload) < _LARGE:
            return payload
        # A cluster that grows with its work has no worker yet, and scattering waits for 30 seconds only.
        self._client.wait_for_workers(1)
        return self._client.scatter(payload, broadcast=everywhere, hash=False)

    @property
    def hint(self) -> str:
        """What to do about an executor that is broken for good."""
        if self._make is not None or self._client is not None:
            return ""
        return (
            "; an executor that breaks when a worker dies can be replaced if you pass a function that makes "
            "it, such as executor=lambda: ProcessPoolExecutor(8)"
        )

    def _adopt(self, executor: Any) -> None:
        self._client, self._executor = None, executor
        if hasattr(executor, "get_executor") and hasattr(executor, "scatter"):
            if getattr(executor, "asynchronous", False):
                raise TypeError("executor is an asynchronous Client: make it with asynchronous=False")
            # dask: the client's own `submit` would take two equal parts for one.
            self._client, self._executor = executor, executor.get_executor(pure=False)

    def _shut(self, *, wait: bool) -> None:
        executor, self._executor = self._executor, None
        if self._client is not None:
            self._client.close()
        elif executor is not None and hasattr(executor, "shutdown"):
            # Before the shutdown, which forgets them. Processes whose work nobody wants any more would keep
            # the program from ending: the thread that looks after them may have died of a cancelled future.
            left = () if wait else tuple((getattr(executor, "_processes", None) or {}).values())
            executor.shutdown(wait=wait)
            for process in left:
                process.terminate()

    def _size(self) -> int:
        if self._client is not None:
            try:
                return sum(self._client.nthreads().values()) or _UNKNOWN
            except Exception:
                # It has lost its scheduler, and says so better when it is given work.
                return _UNKNOWN
        # The name that the standard library, loky and their likes give it; no public one exists.
        known = getattr(self._executor, "_max_workers", None)
        return known if isinstance(known, int) and known > 0 else _UNKNOWN


class Count:
    """Progress over ranges of numbers that are done in any order.

    Parameters
    ----------
    progress : callable or None
        Called as ``progress(done, total)``, in numbers.
    ranges : sequence of (first, stop)
        The parts.
    """

    def __init__(self, progress: Progress | None, ranges: Sequence[tuple[int, int]]) -> None:
        self.progress, self.lengths, self.done = progress, [stop - first for first, stop in ranges], 0

    def __call__(self, part: int) -> None:
        """Report that a part is done."""
        self.done += self.lengths[part]
        if self.progress is not None:
            self.progress(self.done, sum(self.lengths))


class _GaveUp(Exception):
    """The engine cannot go on; its cause is the last failure."""


class _WorkerTraceback(Exception):
    """Where in a worker an exception was raised; shown as its cause."""

    def __str__(self) -> str:
        return f"in a worker:\n{self.args[0]}"


class _Job:
    """One call of `Workers.run`: which parts are where.

    Parameters
    ----------
    workers : Workers
        Who does them.
    function, tasks, shared
        As for `Workers.run`.
    """

    def __init__(
        self, workers: Workers, function: Callable[[Any, Any], Any], tasks: Sequence[Any], shared: Any
    ) -> None:
        self.workers, self.total = workers, len(tasks)
        self.token = os.urandom(16).hex()
        # Pickled here and not by the executor: what cannot be pickled is an error of its own, raised at once.
        self.payload = pickle.dumps(shared, pickle.HIGHEST_PROTOCOL)
        self.parts = [pickle.dumps((function, task), pickle.HIGHEST_PROTOCOL) for task in tasks]
        self.shipped: Any = None
        self.waiting = set(range(len(tasks)))
        self.futures: dict[int, Any] = {}
        # What was shipped for all when a part was handed out.
        self.sent: dict[int, Any] = {}
        self.ended: SimpleQueue[tuple[int, Any]] = SimpleQueue()
        # Losses of each part while the executor took work, and of executors since a part was last done.
        self.lost = dict.fromkeys(self.waiting, 0)
        self.broken = 0
        self.build = _core.build_info()
        self.warned = False

    def start(self, failure: BaseException | None = None) -> None:
        """Hand out every part that is not done, after a failure to a new executor."""
        while True:
            self._take_back()
            try:
                if failure is not None:
                    self.workers.renew()
                self.shipped = self.workers.ship(self.payload, everywhere=True)
                for number in sorted(self.waiting):
                    self._submit(number)
                return
            except Exception as refused:
                failure = refused
            self.broken += 1
            if self.broken > _RETRIES:
                self._give_up("the executor takes no work", failure)

    def collect(self) -> list[tuple[int, Any]]:
        """Wait a moment; return the number and the answer of a part that was done, if there is one."""
        try:
            # With a limit, because an unlimited wait cannot be interrupted on every system.
            number, ended = self.ended.get(timeout=0.2)
        except Empty:
            return []
        stale = self.futures.get(number) is not ended
        if stale:
            # Handed out again meanwhile.
            return []
        del self.futures[number]
        try:
            answer, raised, build = ended.result()
        except Exception as failure:
            self._again(number, failure)
            return []
        if raised is not None:
            error, text = raised
            raise error from _WorkerTraceback(text)
        self._compare(build)
        self.waiting.discard(number)
        self.broken = 0
        return [(number, answer)]

    def finish(self) -> None:
        """Take back what is still out, and forget what this process has read."""
        self._take_back()
        _READ.pop(self.token, None)

    def _take_back(self) -> None:
        """Cancel what is still out, once an executor that is breaking has had time to say so of each future.

        The thread of a process pool that reports a break dies of a future that was cancelled meanwhile (up to
        Python 3.12), and then nobody ends the workers that are left, for which the program waits at its end.
        """
        out, self.futures = self.futures, {}
        deadline = time.monotonic() + _SETTLE
        while out and (left := deadline - time.monotonic()) > 0.0:
            try:
                number, ended = self.ended.get(timeout=left)
            except Empty:
                break
            if number not in out or out[number] is not ended:
                continue
            del out[number]
            try:
                ended.result()
                break  # still at work, so not broken
            except Exception:
                continue
        for future in out.values():
            try:
                future.cancel()
            except Exception:
                # What cannot be cancelled is not waited for either; the reason to stop is what matters.
                continue

    def _submit(self, number: int) -> None:
        self.sent[number] = self.shipped
        part = self.workers.ship(self.parts[number])
        future = self.workers.submit(_work, self.build["version"], self.token, self.shipped, part)
        self.futures[number] = future
        future.add_done_callback(lambda ended: self.ended.put((number, ended)))

    def _again(self, number: int, failure: BaseException) -> None:
        """Hand out a part whose worker was lost; if the executor refuses, get another one for all parts."""
        self.lost[number] += 1
        if self.lost[number] > _RETRIES:
            self._give_up(f"one was lost {self.lost[number]} times", failure)
        try:
            if self.sent[number] is self.shipped is not self.payload:
                # What was sent to the workers may have died with them.
                self.shipped = self.workers.ship(self.payload, everywhere=True)
            self._submit(number)
        except Exception as refused:
            # Of the parts that were lost with an executor nobody can say which one broke it.
            self.lost = dict.fromkeys(self.lost, 0)
            self.broken += 1
            if self.broken > _RETRIES:
                self._give_up("the executor broke again and again", refused)
            self.start(failure)

    def _give_up(self, what: str, error: BaseException) -> None:
        total, finished = self.total, self.total - len(self.waiting)
        raise _GaveUp(
            f"{finished} of {total} parts of the work are done, but {what}: {_said(error)}{self.workers.hint}"
        ) from error

    def _compare(self, build: dict[str, str]) -> None:
        kind = [(info["target"], info["isa"]) for info in (self.build, build)]
        if kind[0] == kind[1] or self.warned:
            return
        self.warned = True
        here, there = (f"{isa} on {target}" for target, isa in kind)
        warnings.warn(
            f"this process computes with {here}, a worker with {there}: results agree to rounding, not to "
            "the last bit; set SCALINGLAWS_ISA to the same name on all machines",
            RuntimeWarning,
            stacklevel=7,
        )


def _work(
    version: str, token: str, payload: bytes, part: bytes
) -> tuple[Any, tuple[Exception, str] | None, dict[str, str]]:
    """Do a part in a worker: its answer, or the exception it raised, and how the worker was built."""
    build = _core.build_info()
    try:
        if build["version"] != version:
            raise BackendError(
                f"a worker has scalinglaws {build['version']}, this process {version}: install the same"
            )
        function, task = pickle.loads(part)
        return function(_read(token, payload), task), None, build
    except Exception as error:
        return None, (_portable(error), traceback.format_exc()), build


def _portable(error: Exception) -> Exception:
    """Return an exception that survives the way back; one that does not would break a process pool."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return BackendError(f"{type(error).__name__}: {error}")
    return error


def _read(token: str, payload: bytes) -> Any:
    """Unpickle what parts share, once for each worker."""
    # Held here, because a call in another thread may empty the dictionary at any time.
    value = _READ.get(token, _READ)
    if value is _READ:
        value = pickle.loads(payload)
        _READ.clear()
        _READ[token] = value
    return value


def _said(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

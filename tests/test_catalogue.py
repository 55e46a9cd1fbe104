"""Every law of the catalogue: its file, numbers and derivatives, and fits that find its coefficients.

One test of each kind runs for each file of the folder, whoever added it. All of them take their rows from
the file: the checks, the rows of ``[design]``, or draws from ``[ranges]``.
"""

from __future__ import annotations

import re
import tomllib
import warnings
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import scalinglaws as sl
from conftest import drawn_inputs, flat, on_rows, truth
from scalinglaws.errors import FormulaError
from scalinglaws.laws import FAMILIES, Laws
from scalinglaws.reference import Reference

FOLDER = Path(sl.__file__).parent / "catalogue"
IDS = sorted(path.stem for path in FOLDER.glob("*.toml"))
# Laws that are only evaluated have nothing to fit.
FITTED = [id for id in IDS if sl.laws[id].params]
# Each published set is a test of its own; a law without one is tried at the coefficients of its first check.
SETS = [(id, which) for id in FITTED for which in range(max(1, len(sl.laws[id].published)))]

# Ratio of the singular values of the Jacobian (columns of unit length) below which a direction counts as not
# determined. The library draws the line there, too; but this Jacobian is the reference's, at the true values.
FLAT = 1e-6
# Share of the data's scale by which a parameter has to move the predictions to count as seen.
SILENT = 1e-9


@pytest.fixture(params=IDS)
def law(request):
    return sl.laws[request.param]


def exact(law, values, columns):
    """The law on rows by the reference, so that a fault of the compiled kernels cannot hide in the data."""
    return Reference(law.formula, law.params).value(on_rows(law, values, columns))


def design(law):
    """Rows of an experiment like the paper's; 80 drawn from the ranges where the file has no design.

    80 rows are about as many as the larger papers have: no law is short of rows rather than of information.
    """
    return law.design.columns() if law.design is not None else drawn_inputs(law, 80, seed=1)


def transformed(law, values, columns):
    """Derivatives of T(f) by the free parameters at given coefficients, and the names of its columns."""
    free = [name for name in values if law.params[name.partition("[")[0]].value is None]
    wrt = list(dict.fromkeys(name.partition("[")[0] for name in free))
    f, g, _ = Reference(law.formula, law.params).derivatives(on_rows(law, values, columns), wrt)
    jacobian = np.zeros((f.size, len(free)))
    for position, name in enumerate(free):
        owner, _, label = name.rstrip("]").partition("[")
        rows = columns[law.groups[owner]] == label if label else slice(None)
        jacobian[rows, position] = g[rows, wrt.index(owner)]
    return (jacobian / f[:, None] if law.residual == "log" else jacobian), free


def undetermined(law, jacobian, free, values, columns):
    """Sets of parameters that the rows do not determine: of no effect at all, or only in some combination."""
    lengths = np.linalg.norm(jacobian, axis=0)
    scale = 1.0 if law.residual == "log" else np.sqrt(np.mean(exact(law, values, columns) ** 2))
    size = np.abs([values[name] for name in free])
    positive = np.array([law.params[name.partition("[")[0]].kind == "positive" for name in free])
    # A positive parameter that could grow tenfold without being seen.
    silent = positive & (size * lengths <= SILENT * scale * np.sqrt(len(jacobian)))
    _, strength, directions = np.linalg.svd(jacobian / np.where(lengths > 0.0, lengths, 1.0))
    strength = np.append(strength, np.zeros(len(directions) - len(strength)))
    sets = [{name for name, unseen in zip(free, silent, strict=True) if unseen}]
    for direction in np.abs(directions[strength <= FLAT * strength[0]]):
        # The library names the four largest parts at most.
        largest = np.argsort(-direction, kind="stable")[:4]
        sets.append({free[i] for i in largest if direction[i] > 0.1 * direction.max()})
    return [names for names in sets if names]


def moved(law, values, share):
    """A start near given coefficients: each is moved by a share of its start range, up or down.

    Shares of the range, because a coefficient may be 0, or a year.
    """
    rng, out = np.random.default_rng(5), {}
    for name, value in values.items():
        param = law.params[name.partition("[")[0]]
        (low, high), step = param.start, share * rng.choice([-1.0, 1.0])
        start = value * (high / low) ** step if param.sampling == "log" else value + step * (high - low)
        if param.kind == "positive" and start <= 0.0:
            start = 0.5 * value
        out[name] = float(np.clip(start, *param.bounds))
    return out


def fit(law, data, **options):
    """Fit by the recipe of the file; a fit that is not valid is judged by the test, not by a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.FitWarning)
        return sl.fit(law, data, **options)


# ---- the file
# -----------------------------------------------------------------------------------------------------------


def test_file_is_valid_and_complete(law):
    path = FOLDER / f"{law.id}.toml"
    assert Laws.load(path) == law
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    assert document["id"] == path.stem
    for key in (
        "title",
        "describes",
        "target",
        "target_unit",
        "residual",
        "loss",
        "papers",
        "notes",
        "verified",
        "check",
    ):
        assert key in document, f"{path.name} has no {key}"
    assert law.family in FAMILIES
    assert document["formula"].startswith(f"{law.target} ~ ")
    assert set(law.ranges) == set(law.inputs)
    assert all(law.meanings[name] for name in (*law.inputs, *law.groups.values()))
    assert all(isinstance(param.start, tuple) and param.meaning for param in law.params.values())
    assert all(published.source for published in law.published)
    assert law.id not in dir(Laws), "the id hides a method of the registry"


def test_start_ranges_contain_what_was_published(law):
    for published in law.published:
        for name, value in flat(published.values).items():
            low, high = law.params[name.partition("[")[0]].start
            assert low <= value <= high, (published.source, name)


def test_checks_hold_in_the_reference_and_in_the_compiled_kernel(law):
    assert law.checks
    reference = Reference(law.formula, law.params)
    for check in law.checks:
        row = on_rows(law, {**truth(law), **flat(check.values)}, check.inputs)
        result = pytest.approx(check.result, rel=1e-9, abs=0.0)
        assert reference.value(row).item() == result
        assert law(**check.inputs, **check.values) == result
        if check.result > 0.0:
            assert reference.log_value(row).item() == pytest.approx(np.log(check.result), rel=1e-9, abs=1e-12)


def points(law):
    """Rows to evaluate at: the checks, and twenty points drawn from the ranges of inputs and starts."""
    rows = []
    for check in law.checks:
        row = on_rows(law, {**truth(law), **flat(check.values)}, check.inputs)
        rows.append({name: np.asarray(row[name]).item() for name in (*law.inputs, *law.params)})
    rng = np.random.default_rng(11)
    for _ in range(20):
        row = {}
        for name in law.inputs:
            low, high = law.ranges[name]
            row[name] = np.exp(rng.uniform(*np.log([low, high]))) if low > 0.0 else rng.uniform(low, high)
        for name, param in law.params.items():
            low, high = param.start
            logs = param.sampling == "log"
            row[name] = np.exp(rng.uniform(*np.log([low, high]))) if logs else rng.uniform(low, high)
        rows.append(row)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def test_compiled_derivatives_agree_with_the_reference(law):
    rows = points(law)
    wrt = (*law.params, *law.inputs)
    f, g, h = Reference(law.formula, law.params).derivatives(rows, wrt)
    # What is compared is the change of the law per relative change of each argument: derivatives have units.
    size = np.stack([np.abs(rows[name]) for name in wrt], axis=1)
    with np.errstate(all="ignore"):
        steep = np.abs(g) * size
        bent = np.abs(h) * size[:, :, None] * size[:, None, :]
    first = np.maximum(np.abs(f), steep.max(axis=1))
    second = np.maximum(first, bent.max(axis=(1, 2)))
    # Values whose relative changes are no normal numbers are left out, but for those that are 0 all over.
    usable = np.isfinite(second) & (second < 1e200) & ((second == 0.0) | (first > 1e-280))
    assert usable.sum() >= len(law.checks) + 10
    # Every row is a category of its own, so that a grouped parameter takes as many values as the others.
    labels = [f"row {number}" for number in range(f.size)]
    call = dict(rows)
    for name, column in law.groups.items():
        call |= {column: np.array(labels), name: dict(zip(labels, rows[name], strict=True))}
    value, gradient, hessian = law(**call), law.gradient(**call, wrt=wrt), law.hessian(**call, wrt=wrt)
    np.testing.assert_allclose(value[usable], f[usable], rtol=1e-11)
    # By an input on the edge of its range, such as the root of no samples at all, there may be no derivative.
    smooth = np.isfinite(gradient) & np.isfinite(np.einsum("njj->nj", hessian))
    edge = ~smooth & np.isin(wrt, law.inputs)
    g[edge] = gradient[edge] = 0.0
    h[edge] = hessian[edge] = h.transpose(0, 2, 1)[edge] = hessian.transpose(0, 2, 1)[edge] = 0.0
    one = np.where(first > 0.0, first, 1.0)[usable, None]
    two = np.where(second > 0.0, second, 1.0)[usable, None, None]
    assert np.max(np.abs(gradient - g)[usable] * size[usable] / one) < 1e-10
    assert np.max(np.abs(hessian - h)[usable] * (size[:, :, None] * size[:, None, :])[usable] / two) < 1e-10


# ---- its coefficients, found again in rows simulated from them
# -----------------------------------------------------------------------------------------------------------


def assert_predictions(law, found, values, columns):
    # To 1e-9 of each value, or of the largest one where residuals are linear.
    expected = exact(law, values, columns)
    scale = np.abs(expected) if law.residual == "log" else np.abs(expected).max()
    assert np.max(np.abs(exact(law, found, columns) - expected) / scale) < 1e-9


@pytest.mark.parametrize(("id", "which"), SETS)
def test_coefficients_are_found_again_from_exact_data(id, which):
    law = sl.laws[id]
    values, columns = truth(law, which), design(law)
    data = {**columns, law.target: exact(law, values, columns)}
    # From near by: this shows that the runs determine the coefficients and that the solver gets to the last
    # digit; the search has its own test. A hundredth of the start range is near enough, but for ridges like
    # that of the third set of adoption_curve, where exp() overflows at that distance.
    for share in (1e-2, 1e-4):
        result = fit(law, data, starts=moved(law, values, share))
        if result.success:
            break
    assert result.success, result.message
    assert_predictions(law, result.values, values, columns)

    jacobian, free = transformed(law, values, columns)
    ends = {name: law.params[name.partition("[")[0]].bounds for name in free}
    on_bound = [name for name in free if values[name] in ends[name]]
    flat_sets = undetermined(law, jacobian, free, values, columns)
    assert result.valid == (not on_bound and not flat_sets), result.message
    named = set(re.findall(r"[^\W\d]\w*(?:\[\w+\])?", result.message))
    stopped = {name for name in free if f"{name} ended on its " in result.message}
    # A direction that ends at a bound is told by the bound.
    assert all(names <= named or names & stopped for names in flat_sets), (flat_sets, result.message)
    if not flat_sets:
        assert stopped == set(on_bound)
        for name in free:
            param = law.params[name.partition("[")[0]]
            # A coefficient that may be 0, but for rounding, has no relative error there.
            least = 0.0 if param.sampling == "log" else 1e-9 * (param.start[1] - param.start[0])
            assert result.values[name] == pytest.approx(values[name], rel=1e-6, abs=least), name


@pytest.mark.parametrize("id", FITTED)
def test_default_search_finds_an_exact_fit(id):
    # Of the first set only: the start ranges are tried here, and the sets of a law lie close together there.
    # Coefficients are not compared, because the terms of a template may come out in another order.
    law = sl.laws[id]
    values, columns = truth(law), design(law)
    result = fit(law, {**columns, law.target: exact(law, values, columns)})
    assert_predictions(law, result.values, values, columns)


@pytest.mark.parametrize("id", FITTED)
def test_both_backends_reach_the_same_objective(id):
    law = sl.laws[id]
    values, columns = truth(law), design(law)
    target = exact(law, values, columns)
    # Noise of a tenth of a permille, of each value or of their spread: so small that the minimum next to the
    # coefficients stays one on every design, and many orders above what is compared.
    noise = 1e-4 * np.random.default_rng(3).standard_normal(target.size)
    target = target * np.exp(noise) if law.residual == "log" else target + noise * target.std()
    # One common start, since the second backend takes a hundred times as long and need not search.
    start = moved(law, values, 1e-4)
    rust, scipy = (
        fit(law, {**columns, law.target: target}, starts=start, backend=name) for name in ("rust", "scipy")
    )
    assert rust.objective == pytest.approx(scipy.objective, rel=1e-9, abs=0.0)


def test_a_law_without_parameters_is_called_and_not_fitted():
    law = sl.laws.kinetics_cost
    assert not law.params
    columns = {name: np.geomspace(*law.ranges[name], 5) for name in law.inputs}
    with pytest.raises(ValueError, match="nothing to fit; call the law"):
        sl.fit(law, {**columns, law.target: law(**columns)})


def test_three_breaks_bend_the_power_law_as_written_out():
    # The example of the paper's figure, in ordinary floating point: at these x nothing overflows.
    law = sl.laws.broken_power_law.over(i=("1", "2", "3"))
    c, d, f = (0.49, -0.811, 2.1), (3e6, 1e14, 2e20), (1.1, 1.425, 0.05)
    x = np.geomspace(1e2, 1e22, 9)
    expected = 4.66e3 * x**-0.05
    for change, place, width in zip(c, d, f, strict=True):
        expected *= (1.0 + (x / place) ** (1.0 / width)) ** (-change * width)
    names = chain.from_iterable((f"c{i}", f"d{i}", f"f{i}") for i in (1, 2, 3))
    values = dict(zip(names, chain.from_iterable(zip(c, d, f, strict=True)), strict=True))
    np.testing.assert_allclose(law(x=x, a=1e-3, b=4.66e3, c0=0.05, **values), 1e-3 + expected, rtol=1e-12)


# ---- the specification that the catalogue was written from
# -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def entries(data_folder):
    """Formula entries by id, from the folder beside the measured data."""
    folder = data_folder.parent / "laws"
    if not folder.is_dir():
        pytest.skip(f"no specification at {folder}")
    documents = (tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.toml")))
    found = chain.from_iterable(document["law"] for document in documents)
    return {entry["id"]: entry for entry in found if entry["kind"] == "formula"}


def test_every_formula_of_the_specification_is_a_law(entries):
    assert len(entries) == 96
    assert [id for id in entries if id not in sl.laws] == []


def test_law_says_what_its_entry_says(law, entries):
    ids = [law.id, *(alias for alias, id in sl.laws.aliases.items() if id == law.id)]
    for entry in (entries[id] for id in ids if id in entries):
        assert set(entry["inputs"]) == {*law.inputs, *law.groups.values()}
        # The parameters of a template are listed label by label, which need not be the order of the paper.
        order = list if law.template is None else set
        assert order(entry["params"]) == order(law.params)
        sets = [flat(published.values) for published in law.published]
        for published in entry.get("published", []):
            wanted = flat(published["values"]).items()
            assert any(wanted <= have.items() for have in sets), published["source"]
        for check in entry["check"]:
            # Some entries check quantities derived from the law as well.
            if not check.get("derived"):
                which = check.get("published")
                values = check.get("values", {}) if which is None else entry["published"][which]["values"]
                value = law(**check["inputs"], **values)
                assert value == pytest.approx(check["result"], rel=1e-9, abs=0.0)


# ---- fits of measured data, against the numbers of the papers
# --------------------------------------------------------


@pytest.fixture(scope="module")
def epoch(read_table):
    runs = read_table("chinchilla_epoch.csv", excluded="0")
    assert len(runs["L"]) == 240
    return runs


BOTH = pytest.mark.parametrize("backend", ["rust", "scipy"])


def near(law, name):
    """One start at a published set: the slow backend does not search."""
    return next(dict(p.values) for p in law.published if name in p.source)


@BOTH
def test_chinchilla_huber_reproduces_the_replication(epoch, backend):
    law = sl.laws.chinchilla
    starts = "paper" if backend == "rust" else near(law, "Table 1")
    fit = sl.fit(law, epoch, starts=starts, backend=backend)
    assert fit.objective == pytest.approx(0.00101827401780, rel=1e-9)
    expected = {"A": 477.82586, "B": 2143.41736, "E": 1.81721810, "alpha": 0.34731050, "beta": 0.36717243}
    for name, value in expected.items():
        assert fit.values[name] == pytest.approx(value, rel=2e-7)


@BOTH
def test_chinchilla_absolute_reproduces_the_published_table(epoch, backend):
    law = sl.laws.chinchilla
    starts = 512 if backend == "rust" else near(law, "Table 1")
    fit = sl.fit(law, epoch, loss=sl.absolute(), starts=starts, backend=backend)
    assert fit.objective == pytest.approx(1.12949465, rel=1e-8)
    expected = {"A": 482.00606, "B": 2085.43625, "E": 1.81686413, "alpha": 0.34781307, "beta": 0.36585416}
    for name, value in expected.items():
        assert fit.values[name] == pytest.approx(value, rel=1e-6)


@BOTH
def test_overtraining_predicts_the_large_runs_as_published(read_table, backend):
    law = sl.laws.overtraining
    runs = read_table("overtraining.csv", train_set="redpajama")
    used = runs["loss_fit"] == 1
    assert used.sum() == 5
    rows = {name: runs[name][used] for name in ("C", "M", "L")}
    fit = sl.fit(law, rows, starts="paper" if backend == "rust" else near(law, "RedPajama"), backend=backend)
    for name, value in near(law, "RedPajama").items():
        assert fit.values[name] == pytest.approx(value, rel=1e-4)
    targets = runs["role"] == "target"
    predicted = law(C=runs["C"][targets], M=runs["M"][targets], **fit.values)
    error = np.abs(predicted - runs["L"][targets]) / runs["L"][targets]
    np.testing.assert_allclose(sorted(error * 100), [0.7103, 0.7320], atol=6e-5)


@BOTH
def test_data_constrained_decay_constants_are_reproduced(read_table, backend):
    law = sl.laws.data_constrained
    runs = read_table("data_constrained.csv")
    published = dict(law.published[0].values)
    fixed = {name: published[name] for name in ("E", "A", "B", "alpha", "beta")}
    fit = sl.fit(law, runs, fixed=fixed, starts=published, backend=backend)
    assert fit.objective == pytest.approx(0.0158259321, rel=1e-8)
    assert fit.values["RD"] == pytest.approx(15.37176, rel=1e-6)
    assert fit.values["RN"] == pytest.approx(5.31513, rel=1e-6)


def test_search_finds_a_lower_basin_of_the_repeated_data_than_the_published_one(read_table):
    law = sl.laws.data_constrained
    published = dict(law.published[0].values)
    fixed = {name: published[name] for name in ("E", "A", "B", "alpha", "beta")}
    fit = sl.fit(law, read_table("data_constrained.csv"), fixed=fixed, starts=64)
    assert fit.objective == pytest.approx(0.0158046624740, rel=1e-9)
    assert fit.values["RD"] == pytest.approx(95.36517, rel=1e-5)
    assert fit.values["RN"] == pytest.approx(1.705905, rel=1e-5)
    again = sl.fit(law, read_table("data_constrained.csv"), fixed=fixed, starts=fit.values, backend="scipy")
    assert again.objective == pytest.approx(fit.objective, rel=1e-11)
    assert any(basin.objective == pytest.approx(0.0158259321, rel=1e-8) for basin in fit.basins)


@BOTH
def test_broken_power_law_follows_the_addition_curve(read_table, backend):
    law = sl.laws.broken_power_law
    runs = read_table("bnsl_addition.csv", split="fit")
    # The authors take residuals of log(y + 1): the same law with 1 added to the limit.
    start = {**law.published[0].values, "f1": 0.08, "c1": 5.0}
    start["a"] += 1.0
    fit = sl.fit(law, {"x": runs["n_train"], "y": runs["L"] + 1.0}, starts=start, backend=backend)
    for name, value in {**law.published[0].values, "a": law.published[0].values["a"] + 1.0}.items():
        assert fit.values[name] == pytest.approx(value, rel=1e-5)


# ---- the registry and the reader
# -------------------------------------------------------------------------------------


def test_registry_is_a_mapping_with_attributes():
    assert sl.laws.chinchilla is sl.laws["chinchilla"]
    assert "chinchilla" in sl.laws
    assert list(sl.laws) == IDS
    assert len(sl.laws) == len(IDS)
    assert set(IDS) <= set(dir(sl.laws))
    assert "chinchilla" in repr(sl.laws)


def test_other_ids_of_a_law_lead_to_the_same_law():
    assert sl.laws.downstream_error_exp is sl.laws["downstream_error"]
    for alias, id in sl.laws.aliases.items():
        assert sl.laws[alias] is sl.laws[id]
        assert alias in sl.laws
        assert alias in dir(sl.laws)
        assert alias not in IDS


def test_unknown_law_is_refused_with_the_nearest():
    with pytest.raises(AttributeError, match="Did you mean 'chinchilla'"):
        sl.laws.chinchila  # noqa: B018
    with pytest.raises(KeyError, match="Did you mean 'farseer'"):
        sl.laws["farser"]
    assert "../catalogue/chinchilla" not in sl.laws


def test_search_ignores_case_and_needs_every_word():
    assert sl.laws.chinchilla in sl.laws.search("HOFFMANN")
    assert sl.laws.search("repeated data epochs")[0] is sl.laws.data_constrained
    assert sl.laws.search("hoffmann repeated") == []


def test_paper_grid_of_chinchilla_has_4500_points_in_natural_units():
    grid = sl.laws.chinchilla.grid
    assert np.prod([len(values) for values in grid.values()]) == 4500
    assert grid["A"][1] == pytest.approx(np.exp(5.0))
    assert grid["alpha"] == (0.0, 0.5, 1.0, 1.5, 2.0)


CHANGES = {
    "missing domain": (
        'A = { domain = "positive", start',
        "A = { start",
        r":33: params\.A: the key 'domain' is missing",
    ),
    "check that fails": ("1.9738818631585637", "1.97388186", r"check\[3\]\.result: the formula gives"),
    "unknown set": ("published = 1\n", "published = 7\n", r"check\[1\]: there is no published set 7"),
    "unknown key": ("title =", "titel =", "titel: unknown key. Did you mean 'title'"),
    "missing key": ("title =", "describe_ =", "unknown key"),
    "bad grid": ("alpha = [0.0,", 'alpha = ["x",', r"grid\.alpha: cannot read"),
    "incomplete grid": ("beta = [0.0, 0.5, 1.0, 1.5, 2.0]", "", "the parameter 'beta' is missing"),
    "bad range": ("N = [1e7, 1e11]", "N = [1e11, 1e7]", r"ranges\.N: must be \[low, high\]"),
    "bad loss": ("huber(1e-3)", "hubber(1e-3)", "loss: unknown loss 'hubber'"),
    "outside domain": ("E = 1.69,", "E = -1.69,", r"published\[0\]: E = -1.69 lies outside"),
    "unknown coefficient": ("E = 1.69,", "F = 1.69,", r"published\[0\]: there is no parameter 'F'"),
    "bad domain": ('E = { domain = "positive"', 'E = { domain = "positiv"', "Did you mean 'positive'"),
    "no TOML": ("[params]", "[params", "this is not TOML"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_faulty_file_is_refused_with_file_line_and_table(tmp_path, change):
    old, new, message = CHANGES[change]
    text = (FOLDER / "chinchilla.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        sl.laws.load(path)
    assert re.match(re.escape(str(path)) + r":\d*", str(caught.value))


@pytest.mark.parametrize(
    ("formula", "message", "position"),
    [
        ("L ~ E + A / N**alpha + B / D**betta", "'betta' is declared neither in .* Did you mean 'beta'", 30),
        ("L ~ E + A / N**alpha + B / D**beta +", "something is missing", 36),
        ("L ~ E + A / N**alpha + B / D", "the parameter 'beta' does not occur", 0),
    ],
)
def test_faulty_formula_is_refused_with_file_and_caret(tmp_path, formula, message, position):
    text = (FOLDER / "chinchilla.toml").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("L ~ E + A / N**alpha + B / D**beta", formula), encoding="utf-8")
    with pytest.raises(FormulaError, match=f"mine.toml:4: formula: {message}") as caught:
        sl.laws.load(path)
    assert caught.value.position == position
    assert str(caught.value).splitlines()[-1].strip() == "^"


def test_own_file_becomes_a_law(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        """
        id = "mine"
        title = "My law"
        formula = "L ~ E + A / N**alpha"
        [params]
        E = { domain = "positive", start = [0.1, 5.0] }
        A = { domain = "positive" }
        alpha = { domain = [0, 1], value = 0.34 }
        [[check]]
        inputs = { N = 1e8 }
        values = { E = 1.7, A = 400.0 }
        result = 2.46237656 # rounded: this must be refused below
        """.replace("2.46237656 # rounded: this must be refused below", repr(1.7 + 400.0 / 1e8**0.34)),
        encoding="utf-8",
    )
    law = sl.laws.load(path)
    assert law.inputs == ("N",)
    assert law.params["alpha"].value == 0.34

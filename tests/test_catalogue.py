"""Every law of the catalogue: its file, numbers and derivatives, and fits that find its coefficients."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import scalinglaws as sl
from scalinglaws.errors import FormulaError
from scalinglaws.laws import Laws
from scalinglaws.reference import Reference

FOLDER = Path(sl.__file__).parent / "catalogue"
IDS = sorted(path.stem for path in FOLDER.glob("*.toml"))


@pytest.fixture(params=IDS)
def law(request):
    return sl.laws[request.param]


def test_file_is_valid_and_complete(law):
    path = FOLDER / f"{law.id}.toml"
    assert Laws.load(path) == law
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    assert document["id"] == path.stem
    for key in (
        "title",
        "family",
        "describes",
        "target",
        "residual",
        "loss",
        "papers",
        "notes",
        "verified",
        "check",
    ):
        assert key in document, f"{path.name} has no {key}"
    assert document["formula"].startswith(f"{law.target} ~ ")
    assert set(document["ranges"]) == set(law.inputs)
    assert all(law.meanings[name] for name in law.inputs)
    assert all(param.start is not None and param.meaning for param in law.params.values())
    assert law.id not in dir(Laws), "the id hides a method of the registry"


def test_checks_hold_in_the_reference_and_in_the_compiled_kernel(law):
    assert law.checks
    reference = Reference(law.formula, law.params)
    for check in law.checks:
        row = {**check.inputs, **check.values}
        assert float(reference.value(row)) == pytest.approx(check.result, rel=1e-9)
        assert law(**row) == pytest.approx(check.result, rel=1e-9)
        assert float(reference.log_value(row)) == pytest.approx(np.log(check.result), rel=1e-9, abs=1e-12)


def points(law):
    """Rows to evaluate at: the checks, and twenty points drawn from the start ranges."""
    ranges = tomllib.loads((FOLDER / f"{law.id}.toml").read_text(encoding="utf-8"))["ranges"]
    rows = [{**check.inputs, **check.values} for check in law.checks]
    rng = np.random.default_rng(11)
    for _ in range(20):
        row = {name: np.exp(rng.uniform(*np.log(ranges[name]))) for name in law.inputs}
        for name, param in law.params.items():
            low, high = param.start
            row[name] = (
                np.exp(rng.uniform(np.log(low), np.log(high)))
                if param.sampling == "log"
                else rng.uniform(low, high)
            )
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
    usable = np.isfinite(f) & np.isfinite(steep).all(axis=1) & np.isfinite(bent).all(axis=(1, 2))
    usable &= np.maximum(steep.max(axis=1), bent.max(axis=(1, 2))) < 1e200
    assert usable.sum() >= len(law.checks) + 10
    value, gradient, hessian = law(**rows), law.gradient(**rows, wrt=wrt), law.hessian(**rows, wrt=wrt)
    np.testing.assert_allclose(value[usable], f[usable], rtol=1e-11)
    scale = np.maximum(np.abs(f), steep.max(axis=1))[usable, None]
    assert np.max(np.abs(gradient - g)[usable] * size[usable] / scale) < 1e-10
    scale = np.maximum(scale[:, 0], bent.max(axis=(1, 2))[usable])[:, None, None]
    assert np.max(np.abs(hessian - h)[usable] * (size[:, :, None] * size[:, None, :])[usable] / scale) < 1e-10


def test_published_coefficients_are_found_again_from_exact_data(law, simulate):
    coefficients, rows = simulate(law, n=80)
    fit = sl.fit(law, rows, residual="log", loss=sl.squared(), starts=2048, backend="rust")
    assert fit.objective < 1e-20
    for name, value in coefficients.items():
        assert fit.values[name] == pytest.approx(value, rel=1e-5, abs=1e-8)


def test_start_ranges_contain_what_was_published(law):
    for published in law.published:
        for name, value in published.values.items():
            low, high = law.params[name].start
            assert low <= value <= high, (published.source, name)


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


def test_unknown_law_is_refused_with_the_nearest():
    with pytest.raises(AttributeError, match="Did you mean 'chinchilla'"):
        sl.laws.chinchila  # noqa: B018
    with pytest.raises(KeyError, match="Did you mean 'kaplan_nd'"):
        sl.laws["kaplan"]
    assert "../catalogue/chinchilla" not in sl.laws


def test_search_ignores_case_and_needs_every_word():
    assert sl.laws.chinchilla in sl.laws.search("HOFFMANN")
    assert [law.id for law in sl.laws.search("repeated data")] == ["data_constrained"]
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

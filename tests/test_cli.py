"""The command line: what it prints, what it writes, and the code it leaves with."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from itertools import groupby

import numpy as np
import polars as pl
import pytest
import scalinglaws as sl
from numpy.testing import assert_allclose
from scalinglaws.cli import files
from scalinglaws.cli.files import read_table as read_file
from scalinglaws.cli.options import (
    formula_law,
    read_columns,
    read_fixed,
    read_param,
    read_priors,
    read_starts,
)
from typer.testing import CliRunner

VALUES = {"E": 1.7, "A": 400.0, "B": 500.0, "alpha": 0.34, "beta": 0.3}


def run(*arguments):
    from scalinglaws.cli.app import app

    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def runs():
    rng = np.random.default_rng(0)
    N, D = 10 ** rng.uniform(7, 10, 40), 10 ** rng.uniform(8, 11, 40)
    loss = sl.laws.chinchilla(N=N, D=D, **VALUES) * np.exp(0.005 * rng.standard_normal(40))
    return {"params": N, "tokens": D, "loss": loss, "kind": np.where(np.arange(40) % 8, "good", "bad")}


@pytest.fixture(scope="module")
def table(runs, tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "runs.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(runs)
        writer.writerows(zip(*(column.tolist() for column in runs.values()), strict=True))
    return path


NAMES = "N=params,D=tokens,L=loss"


def test_laws_are_listed_one_a_line_when_piped():
    done = run("laws")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert len(lines) == len(sl.laws)
    id, title, formula, family = next(line for line in lines if line.startswith("chinchilla\t")).split("\t")
    assert (id, formula) == ("chinchilla", sl.laws.chinchilla.formula)
    assert title
    assert family == sl.laws.chinchilla.family


def test_laws_are_listed_family_by_family():
    listed = [line.split("\t")[3] for line in run("laws").stdout.splitlines()]
    assert list(dict.fromkeys(listed)) == list(sl.laws.families)
    assert len(list(groupby(listed))) == len(sl.laws.families)
    only = run("laws", "--family", "physics").stdout.splitlines()
    assert [line.split("\t")[0] for line in only] == list(sl.laws.families["physics"])
    unknown = run("laws", "--family", "physic")
    assert unknown.exit_code == 2
    assert "Did you mean 'physics'?" in unknown.stderr


def test_laws_can_be_searched():
    assert "data_constrained" in run("laws", "--search", "repeated data").stdout
    nothing = run("laws", "--search", "phlogiston")
    assert nothing.exit_code == 2
    assert "no law matches" in nothing.stderr


def test_one_law_is_shown_in_full():
    done = run("laws", "chinchilla")
    assert done.exit_code == 0
    for piece in ("L ~ E + A / N**alpha", "irreducible loss", "arXiv:2203.15556", "406.4", "4500 starts"):
        assert piece in done.stdout


@pytest.mark.parametrize("id", sorted(sl.laws))
def test_every_law_can_be_shown(id):
    assert run("laws", id).exit_code == 0


def test_the_labels_of_a_template_can_be_given(tmp_path):
    x = np.geomspace(1.0, 100.0, 8)
    w = np.array([1.0, 3.0, 2.0, 5.0, 4.0, 1.5, 7.0, 2.5])
    path = tmp_path / "runs.csv"
    pl.DataFrame({"x_web": x, "x_code": w, "y": 2.0 * x**0.5 * w**0.3}).write_csv(path)
    done = run("fit", path, "--law", "power_product", "--over", "i=web,code", "--json", "-")
    assert done.exit_code == 0, done.stderr
    values = json.loads(done.stdout)["values"]
    assert values["a_web"] == pytest.approx(0.5, rel=1e-6)
    assert values["a_code"] == pytest.approx(0.3, rel=1e-6)
    formula = "y ~ c * prod[i](x{i}**a{i})"
    mine = run("fit", path, "--formula", formula, "--over", "i=web,code", "--json", "-")
    assert json.loads(mine.stdout)["values"]["a_web"] == pytest.approx(0.5, rel=1e-6)
    shown = run("laws", "power_product").stdout
    assert "prod[i](x{i}**a{i})" in shown
    assert "i = 1, 2" in shown
    for bad, message in (("i", "--over is INDEX=LABEL"), ("j=web", "no index 'j'")):
        failed = run("fit", path, "--law", "power_product", "--over", bad)
        assert failed.exit_code == 2
        assert message in failed.stderr


def test_an_unknown_law_suggests_the_near_one():
    for arguments in (["laws", "chinchila"], ["fit", __file__[:-2] + "csv", "--law", "x"]):
        assert run(*arguments).exit_code == 2
    assert "Did you mean 'chinchilla'?" in run("laws", "chinchila").stderr


def test_a_valid_fit_prints_its_summary_and_leaves_with_zero(table, runs):
    done = run("fit", table, "--law", "chinchilla", "--columns", NAMES)
    assert done.exit_code == 0, done.stderr
    fit = sl.fit("chinchilla", runs, columns={"N": "params", "D": "tokens", "L": "loss"})
    assert done.stdout.rstrip("\n") == fit.summary()
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_options_reach_the_fit(table, runs, tmp_path):
    out = tmp_path / "fit.json"
    done = run(
        "fit", table, "--law", "chinchilla", "--columns", NAMES, "--loss", "huber:0.01",
        "--residual", "linear",
        "--fixed", "alpha=0.34", "--fixed", "beta=alpha", "--prior", "E=normal:1.7,0.1", "--starts", "64",
        "--screen", "8", "--seed", "3", "--threads", "1", "--max-iter", "500", "--json", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    fit = sl.load(out)
    expected = sl.fit(
        "chinchilla", runs, columns=read_columns(NAMES), loss=sl.huber(0.01), residual="linear",
        fixed={"alpha": 0.34, "beta": "alpha"}, priors={"E": sl.normal(1.7, 0.1)}, starts=64, screen=8, rng=3,
    )  # fmt: skip
    assert fit.values == expected.values
    assert fit.objective == expected.objective
    assert (fit.starts.solved, fit.starts.seed) == (8, 3)


def test_json_may_go_to_standard_output(table):
    done = run("fit", table, "--law", "chinchilla", "--columns", NAMES, "--json", "-")
    assert json.loads(done.stdout)["format"] == "scalinglaws.fit"


def test_rows_are_chosen_by_a_condition_on_names_of_table_or_law(table):
    done = run(
        "fit",
        table,
        "--law",
        "chinchilla",
        "--columns",
        NAMES,
        "--where",
        "kind == 'good' and 6*N*tokens > 0",
    )
    assert done.exit_code == 0, done.stderr
    assert "35 of 40 rows satisfy" in done.stderr
    assert "rows        35" in done.stdout


def test_a_condition_without_rows_is_bad_input(table):
    done = run("fit", table, "--law", "chinchilla", "--columns", NAMES, "--where", "params > 1e30")
    assert done.exit_code == 2
    assert "no row satisfies" in done.stderr


def test_a_condition_is_never_python(table):
    code = "__import__('os').system('true') == 0"
    assert run("fit", table, "--law", "chinchilla", "--columns", NAMES, "--where", code).exit_code == 2


def test_a_formula_of_ones_own_declares_its_parameters(table):
    done = run(
        "fit", table, "--columns", NAMES, "--formula", "L ~ E + A / N**alpha + B / D**beta",
        "--residual", "log", "--param", "alpha=positive:0.05..1.5", "--param", "beta=positive:0.05..1.5",
        "--param", "E=positive:0.1..5",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "positive parameters, started between 1e-3 and 1e6: A, B" in done.stderr


def test_a_plot_is_written(table, tmp_path):
    out = tmp_path / "fit.png"
    done = run("fit", table, "--law", "chinchilla", "--columns", NAMES, "--plot", out)
    assert done.exit_code == 0, done.stderr
    assert out.read_bytes().startswith(b"\x89PNG")


def test_an_invalid_fit_leaves_with_one_and_still_prints(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("x,L\n" + "1e8,2.0\n" * 6)
    done = run("fit", path, "--law", "power_law_floor", "--starts", "16")
    assert done.exit_code == 1
    assert "NOT VALID" in done.stdout
    assert "Traceback" not in done.stderr


CHINCHILLA = ["fit", "{table}", "--law", "chinchilla", "--columns", NAMES]
BAD = {
    "no file": (["fit", "nowhere.csv", "--law", "chinchilla"], "nowhere.csv: No such file"),
    "unknown law": (["fit", "{table}", "--law", "chinchila"], "Did you mean 'chinchilla'?"),
    "no law": (["fit", "{table}"], "either --law ID"),
    "both": (["fit", "{table}", "--law", "chinchilla", "--formula", "L ~ E"], "either --law ID"),
    "missing column": (["fit", "{table}", "--law", "chinchilla"], "Is it 'loss'?"),
    "columns": (["fit", "{table}", "--law", "chinchilla", "--columns", "N:params"], "--columns is a list"),
    "loss": (
        [*CHINCHILLA, "--loss", "hubber:1"],
        "unknown loss",
    ),
    "residual": (
        [*CHINCHILLA, "--residual", "ln"],
        "'linear' or 'log'",
    ),
    "starts": (
        [*CHINCHILLA, "--starts", "many"],
        "or 'paper'",
    ),
    "fixed": ([*CHINCHILLA, "--fixed", "gamma=1"], "'gamma'"),
    "param": (["fit", "{table}", "--law", "chinchilla", "--param", "E=real"], "--param declares"),
    "formula": (["fit", "{table}", "--formula", "loss ~ E + (A"], "^"),
    "backend": (
        [*CHINCHILLA, "--backend", "c"],
        "'rust' or 'scipy'",
    ),
    "folder": (["fit", "{table}", "--law", "chinchilla", "--json", "/nowhere/x.json"], "there is no folder"),
    "where": (["fit", "{table}", "--law", "chinchilla", "--where", "parms > 1"], "Did you mean 'params'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_paragraph_and_code_two(case, table):
    arguments, message = BAD[case]
    done = run(*(argument.format(table=table) for argument in arguments))
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "\n\n" not in done.stderr.strip()
    assert done.stdout == ""


def test_unknown_options_are_usage_errors(table):
    assert run("fit", table, "--lwa", "chinchilla").exit_code == 2
    assert run("fti").exit_code == 2


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".ndjson", ".parquet"])
@pytest.mark.parametrize("reader", ["polars", "pandas", "pyarrow", "none"])
def test_every_file_is_read_by_every_reader_alike(runs, tmp_path, monkeypatch, suffix, reader):
    path = tmp_path / f"runs{suffix}"
    frame = pl.DataFrame(runs)
    {
        ".csv": frame.write_csv, ".jsonl": frame.write_ndjson, ".ndjson": frame.write_ndjson,
        ".parquet": frame.write_parquet,
    }[suffix](path)  # fmt: skip
    load = files.import_module

    def only(name):
        if name.partition(".")[0] != reader:
            raise ImportError(name)
        return load(name)

    monkeypatch.setattr(files, "import_module", only)
    if suffix == ".parquet" and reader == "none":
        with pytest.raises(sl.DataError, match="Parquet needs polars, pandas or pyarrow"):
            read_file(path)
        return
    columns = read_file(path)
    assert list(columns) == list(runs)
    for name in ("params", "tokens", "loss"):
        assert_allclose(np.asarray(columns[name], dtype=float), runs[name], rtol=1e-15)
    assert columns["kind"].tolist() == runs["kind"].tolist()


def _no_reader(monkeypatch):
    def none(name):
        raise ImportError(name)

    monkeypatch.setattr(files, "import_module", none)


def test_the_plain_csv_reader_keeps_gaps_as_missing(tmp_path, monkeypatch):
    _no_reader(monkeypatch)
    path = tmp_path / "x.csv"
    path.write_text('N,name\n1,"a,b"\n,\n')
    columns = read_file(path)
    assert np.isnan(columns["N"][1])
    assert columns["name"].tolist() == ["a,b", None]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "a,a\n1,2\n", "names 'a' twice"),
        ("x.csv", "a,b\n1\n", "row 0 has 1 fields, the header has 2"),
        ("x.csv", "", "the file is empty"),
        ("x.jsonl", '{"a": 1}\n{"a": \n', "line 2 is not JSON"),
        ("x.jsonl", "[1]\n", "line 1 is not an object"),
        ("x.xlsx", "a", "a .csv, .jsonl or .parquet file"),
    ],
)
def test_files_that_are_not_tables_are_explained(tmp_path, monkeypatch, name, content, message):
    _no_reader(monkeypatch)
    (tmp_path / name).write_text(content)
    with pytest.raises(sl.DataError, match=message):
        read_file(tmp_path / name)


def test_a_file_that_lies_about_its_kind_is_explained(tmp_path):
    (tmp_path / "x.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(sl.DataError, match="cannot read this as parquet"):
        read_file(tmp_path / "x.parquet")


def test_options_are_read():
    assert read_columns("N=params, D = tokens") == {"N": "params", "D": "tokens"}
    assert read_columns(None) is None
    assert read_param("alpha=positive:0.05..1.5") == ("alpha", sl.Param("positive", start=(0.05, 1.5)))
    assert read_param("A=positive:1..1e6") == ("A", sl.Param("positive", start=(1.0, 1e6), sampling="log"))
    assert read_param("t=[0,2]:0.1..1:log") == ("t", sl.Param((0.0, 2.0), start=(0.1, 1.0), sampling="log"))
    assert read_param("E=real:1.7") == ("E", sl.Param("real", start=1.7))
    assert read_param("u=unit") == ("u", sl.Param("unit"))
    assert read_fixed(["alpha=0.35", "beta=alpha"]) == {"alpha": 0.35, "beta": "alpha"}
    assert read_priors(["a=lognormal:400,0.5"]) == {"a": sl.lognormal(400, 0.5)}
    assert (read_starts("paper"), read_starts("64")) == ("paper", 64)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_columns, "N"),
        (read_columns, "N=a,N=b"),
        (read_param, "alpha"),
        (read_param, "alpha=positve"),
        (read_param, "alpha=positive:a..b"),
        (read_param, "alpha=positive:1..2..3"),
        (read_starts, "1.5"),
        (lambda text: read_fixed([text]), "alpha"),
        (lambda text: read_priors([text]), "alpha=normal:1"),
    ],
)
def test_options_that_cannot_be_read_say_their_form(read, text):
    with pytest.raises(ValueError, match=r"--|domain"):
        read(text)


def test_names_that_are_not_columns_are_positive_parameters():
    law, taken = formula_law(
        "L ~ E + A / N**alpha", ["alpha=unit:0.1..0.9"], {"N": "params"}, ["params", "L"]
    )
    assert taken == ["E", "A"]
    assert law.inputs == ("N",)
    assert law.params["alpha"].domain == "unit"
    with pytest.raises(ValueError, match=r"--param names 'alhpa'.*'alpha'"):
        formula_law("L ~ A / N**alpha", ["alhpa=unit"], None, ["N", "L"])


def command(*arguments, env=None, code="from scalinglaws.cli import main; main()"):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **(env or {})},
    )  # fmt: skip


def test_the_command_runs_as_a_process_and_prints_its_version():
    done = command("--version")
    assert (done.returncode, done.stdout.strip()) == (0, sl.__version__)


def test_bad_input_of_the_process_has_no_traceback():
    done = command("fit", "nowhere.csv", "--law", "chinchilla")
    assert done.returncode == 2
    assert done.stderr == "error: nowhere.csv: No such file or directory\n"


def test_without_the_extra_the_command_says_what_to_install():
    block = "import sys; sys.modules['typer'] = None; from scalinglaws.cli import main; main()"
    done = command("laws", code=block)
    assert done.returncode == 2
    assert done.stderr == "scalinglaws: the command line needs an extra: pip install 'scalinglaws[cli]'\n"


def test_a_fit_with_a_bootstrap_prints_and_keeps_it_for_predictions(table, tmp_path):
    arguments = ("fit", table, "--law", "chinchilla", "--columns", NAMES, "--starts", 64)
    file = tmp_path / "boot.json"
    done = run(*arguments, "--bootstrap", 200, "--interval", 0.8, "--seed", 3, "--json", file)
    assert done.exit_code == 0, done.stderr
    assert "200 draws, pairs, seed 3" in done.stdout
    assert "80 % percentile" in done.stdout
    boot = sl.load(file)
    assert isinstance(boot, sl.Bootstrap)
    assert boot.draws.shape == (200, 5)
    expected = boot.predict({"N": 1e11, "D": 1e12}, 0.9)
    done = run("predict", file, "--at", "N=1e11,D=1e12")
    assert done.exit_code == 0, done.stderr
    assert f"loss = {expected.mean:.6g}" in done.stdout or f"L = {expected.mean:.6g}" in done.stdout
    assert f"90 % interval of the law     {expected.lower:.6g} to {expected.upper:.6g}" in done.stdout
    assert "decades beyond the runs" in done.stdout
    clustered = run(*arguments, "--bootstrap", 50, "--by", "kind", "--kind", "wild")
    assert clustered.exit_code == 2
    assert (
        "2 clusters of rows with positive weight; at least 6 are needed for 5 parameters" in clustered.stderr
    )


def test_a_fit_without_a_bootstrap_predicts_by_the_delta_method(table, tmp_path):
    file = tmp_path / "fit.json"
    run("fit", table, "--law", "chinchilla", "--columns", NAMES, "--starts", 64, "--json", file)
    fit = sl.load(file)
    inside = run("predict", file, "--at", "N=1e9", "--at", "D=1e10", "--level", "0.5")
    expected = fit.predict({"N": 1e9, "D": 1e10}, 0.5, new_run=True)
    assert f"50 % interval of the new run {expected.lower:.6g} to {expected.upper:.6g}" in inside.stdout
    assert "within the range of the runs" in inside.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--at", "N=1e9"), "no column 'D'"),
        (("--at", "N:1e9"), "--at is a run such as"),
        (("--at", "N=1e9,D=1e10", "--at", "N=2e9,D=1e10"), "'N' twice, and takes one run at a time"),
        (
            ("--at", "N=1e9,D=1e10,X=3"),
            "--at names 'X', which is no input of the law. Its inputs are 'N', 'D'",
        ),
        (
            ("--at", "N=1e9,D=1e10,token=3"),
            "--at names 'token', which is no input of the law. Did you mean 'tokens'?",
        ),
        (("--at", "N=1e9,D=1e10,params=2e9"), "--at names 'N' and 'params', which are the same input"),
        (("--at", "N=1,N=2"), "--at names 'N' twice"),
        (("--at", "N=1e9,D=1e10", "--level", "95"), "level must lie between 0 and 1"),
    ],
)
def test_predictions_that_cannot_be_read_are_bad_input(table, tmp_path, arguments, message):
    file = tmp_path / "fit.json"
    run("fit", table, "--law", "chinchilla", "--columns", NAMES, "--starts", 64, "--json", file)
    done = run("predict", file, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "kind"), "--by names clusters for --bootstrap or --interval"),
        (("--interval", "90"), "level must lie between 0 and 1"),
        (("--bootstrap", "0"), "n must be the number of draws"),
        (("--bootstrap", "10", "--interval", "90"), "level must lie between 0 and 1"),
        (("--bootstrap", "10", "--by", "sort"), "no column 'sort' to keep"),
    ],
)
def test_bootstrap_options_are_checked(table, arguments, message):
    done = run("fit", table, "--law", "chinchilla", "--columns", NAMES, "--starts", 16, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_fit_that_did_not_converge_is_kept_where_a_bootstrap_was_asked_for(table, tmp_path):
    file, picture = tmp_path / "fit.json", tmp_path / "fit.png"
    arguments = ("fit", table, "--law", "chinchilla", "--columns", NAMES, "--starts", 16, "--max-iter", 2)
    plain = run(*arguments)
    done = run(*arguments, "--bootstrap", 20, "--json", file, "--plot", picture)
    assert (plain.exit_code, done.exit_code) == (1, 1)
    assert done.stdout == plain.stdout
    assert "NOT VALID" in done.stdout
    assert done.stderr.startswith("error: no bootstrap: the fit did not converge")
    assert len(done.stderr.splitlines()) == 1
    assert sl.load(file).status == "iteration limit"
    assert picture.read_bytes().startswith(b"\x89PNG")
    none = run(*arguments, "--interval", 0.9)
    assert (none.exit_code, none.stdout) == (1, plain.stdout)
    assert none.stderr.startswith("error: no intervals: the fit did not converge")


def test_a_valid_fit_is_kept_where_its_bootstrap_cannot_be_made(table, tmp_path):
    file = tmp_path / "fit.json"
    arguments = ("fit", table, "--law", "chinchilla", "--columns", NAMES, "--starts", 64)
    done = run(*arguments, "--bootstrap", 20, "--by", "kind", "--json", file)
    assert done.exit_code == 2
    assert "valid: " in done.stdout
    assert "no bootstrap: 'kind' has 2 clusters" in done.stderr
    assert sl.load(file).valid


def test_intervals_without_a_bootstrap_are_those_of_the_fit(tmp_path):
    rng = np.random.default_rng(0)
    x, run_id = np.geomspace(1.0, 1e4, 40), np.repeat(np.arange(10), 4)
    y = 3.0 * x**-0.3 * np.exp(0.02 * rng.standard_normal(10)[run_id] + 0.01 * rng.standard_normal(40))
    path = tmp_path / "runs.csv"
    pl.DataFrame({"x": x, "y": y, "run": run_id}).write_csv(path)
    arguments = ("fit", path, "--formula", "y ~ c / x**a", "--residual", "log")
    law, _ = formula_law("y ~ c / x**a", [], None, ["x", "y"])
    fit = sl.fit(law, {"x": x, "y": y, "run": run_id}, residual="log", keep=["run"])
    for by in (None, "run"):
        done = run(*arguments, "--interval", 0.9, *([] if by is None else ["--by", by]))
        assert done.exit_code == 0, done.stderr
        head, _, table = done.stdout.partition("90 % intervals")
        assert head.rstrip("\n") == fit.summary()
        assert ("clusters by run" in table) == (by is not None)
        for name, (lower, upper) in fit.conf_int(0.9, by=by).items():
            row = next(line.split() for line in table.splitlines() if line.startswith(f"{name} "))
            assert row == [name, f"{fit.values[name]:.8g}", f"{lower:.6g}", f"{upper:.6g}"]


def test_intervals_say_what_is_fixed_or_not_determined(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("x,L\n" + "1e8,2.0\n" * 6)
    done = run("fit", path, "--law", "power_law_floor", "--starts", 16, "--fixed", "E=1", "--interval", 0.9)
    assert done.exit_code == 1
    table = done.stdout.partition("90 % intervals")[2].splitlines()
    assert next(line for line in table if line.startswith("E ")).endswith("fixed")
    assert next(line for line in table if line.startswith("alpha ")).endswith("not determined")

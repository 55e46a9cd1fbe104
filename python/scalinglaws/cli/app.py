"""The commands: ``scalinglaws laws``, ``scalinglaws fit`` and ``scalinglaws predict``."""

from __future__ import annotations

import json
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ..errors import BackendError, DataError, FitWarning, near
from ..fit import fit as fit_law
from ..law import Law
from ..laws import laws as catalogue
from ..report import interval_summary
from ..result import Fit
from ..serialize import load
from ..templates import Template
from ..uncertainty.intervals import check_level
from .files import read_table
from .options import (
    check_at,
    formula_law,
    read_at,
    read_columns,
    read_fixed,
    read_over,
    read_priors,
    read_starts,
)

if TYPE_CHECKING:
    from ..uncertainty.bootstrap import Bootstrap

__all__ = ["app"]

app = typer.Typer(
    name="scalinglaws",
    help="Fit neural scaling laws to tables of training runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# A bar that comes and goes within this time is only a flicker.
_PATIENCE = 0.4


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


@app.command("laws")
def show_laws(
    id: Annotated[str | None, typer.Argument(help="A law to show in full.", show_default=False)] = None,
    search: Annotated[str | None, typer.Option(help="List only laws that match these words.")] = None,
    family: Annotated[str | None, typer.Option(help="List only laws of this family.")] = None,
) -> None:
    """List the laws of the catalogue by family, or show one of them."""
    with _input_errors():
        if id is not None:
            if id not in catalogue:
                raise ValueError(_unknown(id))
            typer.echo(_describe(catalogue[id]))
            return
        families = _families(search, family)
        if sys.stdout.isatty():
            _table(families)
        else:
            # One law a line, tabs between the fields: for cut, grep and awk.
            for name, found in families.items():
                for law in found:
                    typer.echo(f"{law.id}\t{law.title}\t{law.formula}\t{name}")


@app.command("fit")
def fit_command(
    runs: Annotated[Path, typer.Argument(help="Table of runs: .csv, .jsonl or .parquet.")],
    law: Annotated[str | None, typer.Option(help="A law of the catalogue.")] = None,
    formula: Annotated[
        str | None, typer.Option(help="A formula of your own, such as 'L ~ E + A / N**alpha'.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            help="Parameter of --formula: NAME=DOMAIN[:LOW..HIGH[:log]], DOMAIN one of real, positive, unit, "
            "[low,high]. Others are positive and start between 1e-3 and 1e6. Repeatable.",
            show_default=False,
        ),
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            help="Labels of an index of the law, such as i=web,code for sum[i](...), or i=3. Repeatable.",
            show_default=False,
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="The table's column names where they differ: N=params,D=tokens,L=loss.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(help="Fit only rows that satisfy this, such as '6*N*D > 1e19 and not failed'."),
    ] = None,
    residual: Annotated[str | None, typer.Option(help="linear or log; the law's own if not given.")] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="squared, huber:DELTA, soft_l1:S, cauchy:S, absolute or quantile:TAU; else the law's own."
        ),
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Column of row weights.")] = None,
    fixed: Annotated[
        list[str] | None,
        typer.Option(
            help="Hold or tie a parameter: alpha=0.35 or beta=alpha. Repeatable.", show_default=False
        ),
    ] = None,
    prior: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=normal:MEAN,SD or NAME=lognormal:MEDIAN,SIGMA. Repeatable.", show_default=False
        ),
    ] = None,
    starts: Annotated[str, typer.Option(help="Number of starts, or 'paper' for the law's own grid.")] = "512",
    screen: Annotated[
        int | None, typer.Option(help="Solve only this many of the starts, the best; 0 for all.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the starts.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Number of threads; all cores if not given.")] = None,
    backend: Annotated[str, typer.Option(help="rust, or scipy for a slow second opinion.")] = "rust",
    max_iter: Annotated[int | None, typer.Option(help="Limit on the steps of each local fit.")] = None,
    bootstrap: Annotated[
        int | None, typer.Option(help="Refit this many resamplings of the runs; intervals come from them.")
    ] = None,
    kind: Annotated[
        str, typer.Option(help="What --bootstrap draws: pairs, wild, residual or parametric.")
    ] = "pairs",
    by: Annotated[
        str | None,
        typer.Option(help="Column of clusters of runs, for --bootstrap or --interval."),
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option(
            help="Coverage of the intervals that follow the summary: of --bootstrap, 0.95 if not given, else "
            "from profiles.",
            show_default=False,
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", help="Write the fit, with its bootstrap, to this file; '-' for standard output."
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw loss and residuals into this file (.png, .pdf, .svg).")
    ] = None,
) -> None:
    """Fit a law to a table of runs.

    Exit codes: 0 for a valid fit, 1 for a fit that is not valid, 2 for bad input, also where a valid fit is
    shown but cannot have the bootstrap or the intervals asked for.
    """
    with _input_errors():
        _check_writable(json_file, plot)
        if bootstrap is None and interval is None and by is not None:
            raise ValueError("--by names clusters for --bootstrap or --interval: give one of them too")
        level = check_level(0.95 if interval is None else interval)
        table = read_table(runs)
        mapping = read_columns(columns)
        if where is not None:
            table = _filter(table, where, mapping)
        chosen = _law(law, formula, param or [], read_over(over or []), mapping, table)
        with warnings.catch_warnings(), _progress() as progress:
            # The summary says the same, and says it where it is looked for.
            warnings.simplefilter("ignore", FitWarning)
            result = fit_law(
                chosen,
                table,
                columns=mapping,
                residual=residual,  # type: ignore[arg-type]
                loss=loss,
                weights=weights,
                fixed=read_fixed(fixed or []),
                priors=read_priors(prior or []),
                starts=read_starts(starts),
                rng=seed,
                screen=screen,
                threads=threads,
                backend=backend,
                max_iter=max_iter,
                progress=progress,
                keep=[] if by is None else [by],
            )
        made: Fit | Bootstrap = result
        texts, lacking = [result.summary()], ""
        # The fit is shown and kept also where it has no bootstrap or no intervals.
        try:
            if bootstrap is not None:
                with warnings.catch_warnings(), _progress("resampling") as progress:
                    warnings.simplefilter("ignore", FitWarning)
                    made = result.bootstrap(
                        bootstrap,
                        kind=kind,  # type: ignore[arg-type]
                        by=by,
                        rng=seed,
                        threads=threads,
                        max_iter=max_iter,
                        progress=progress,
                    )
                texts.append(made.summary(level))
            elif interval is not None:
                texts.append(interval_summary(result, result.conf_int(level, by=by), level, by))
        except (ValueError, BackendError) as error:
            lacking = f"no {'intervals' if bootstrap is None else 'bootstrap'}: {error}"
        if str(json_file) == "-":
            typer.echo(json.dumps(made.to_dict(), allow_nan=False))
        else:
            typer.echo("\n\n".join(texts))
        if json_file is not None and str(json_file) != "-":
            made.save(json_file)
        if plot is not None:
            _draw(result, plot)
        if lacking and result.valid:
            raise ValueError(lacking)
        if lacking:
            typer.echo(f"error: {lacking}", err=True)
    raise typer.Exit(0 if result.valid else 1)


@app.command("predict")
def predict_command(
    file: Annotated[Path, typer.Argument(help="What 'scalinglaws fit --json' wrote.")],
    at: Annotated[
        list[str],
        typer.Option(
            help="The run, such as N=7e10,D=1.4e12. Repeatable: each gives further inputs of the same run.",
            show_default=False,
        ),
    ],
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.9,
) -> None:
    """Predict a run with a saved fit.

    Intervals come from the bootstrap if the file holds one, else from the delta method.
    Exit codes: 0 for a valid fit, 1 for a fit that is not valid, 2 for bad input.
    """
    with _input_errors():
        made, point = load(file), read_at(at)
        result = made if isinstance(made, Fit) else made.fit
        check_at(point, result)
        law, new = (made.predict(point, level, new_run=new_run) for new_run in (False, True))
        unit = f" {result.law.target_unit}" if result.law.target_unit else ""
        typer.echo(f"{result.law.target} = {law.mean:.6g}{unit}, standard error {law.stderr:.3g}")
        for what, span in (("law", law), ("new run", new)):
            typer.echo(f"{100 * level:g} % interval of the {what:<8}{span.lower:.6g} to {span.upper:.6g}")
        if law.decades is not None:
            beyond = (
                f"{law.decades:.2g} decades beyond the runs"
                if law.decades
                else "within the range of the runs"
            )
            typer.echo(beyond)
        if not result.valid:
            typer.echo(f"NOT VALID: {result.message}", err=True)
    raise typer.Exit(0 if result.valid else 1)


@contextmanager
def _input_errors() -> Iterator[None]:
    """Turn what is wrong with the input into one paragraph and exit code 2."""
    try:
        yield
    except (ValueError, OSError, BackendError, ImportError) as error:
        if isinstance(error, OSError) and error.strerror:
            text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        else:
            text = str(error)
        typer.echo(f"error: {text}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130) from None


def _unknown(id: str) -> str:
    try:
        catalogue[id]
    except KeyError as error:
        return str(error.args[0])
    return id


def _law(
    law: str | None,
    formula: str | None,
    params: list[str],
    over: dict[str, Any],
    columns: dict[str, str] | None,
    table: dict[str, NDArray[Any]],
) -> Law:
    if (law is None) == (formula is None):
        raise ValueError("say what to fit: either --law ID (see 'scalinglaws laws') or --formula '...'")
    if law is not None:
        if params:
            raise ValueError("--param declares parameters of --formula; a law of the catalogue has its own")
        if law not in catalogue:
            raise ValueError(_unknown(law))
        return catalogue[law].over(**over) if over else catalogue[law]
    text = str(formula)
    if over or Template.is_template(text):
        text = Template.read(text).over(over).formula
    made, taken = formula_law(text, params, columns, table)
    if taken:
        typer.echo(f"positive parameters, started between 1e-3 and 1e6: {', '.join(taken)}", err=True)
    return made


def _filter(
    table: dict[str, NDArray[Any]], where: str, columns: dict[str, str] | None
) -> dict[str, NDArray[Any]]:
    """Rows that satisfy a condition, which may use the names of the table or of the law."""
    from ..reference import Condition

    names = dict(table)
    for name, column in (columns or {}).items():
        if column in table:
            names[name] = table[column]
    mask = Condition(where).mask(names)
    if not mask.any():
        raise DataError(f"no row satisfies --where {where!r}")
    typer.echo(f"{int(mask.sum())} of {mask.size} rows satisfy {where}", err=True)
    return {name: column[mask] for name, column in table.items()}


def _check_writable(*files: Path | None) -> None:
    """Find out before the fit, not after it, that a result cannot be written."""
    for file in files:
        if file is not None and str(file) != "-" and not file.parent.is_dir():
            raise ValueError(f"{file}: there is no folder {file.parent}")


@contextmanager
def _progress(what: str = "fitting") -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on standard error, where a person watches and the work is long enough for that."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task, began = bar.add_task("fit", total=None), time.monotonic()

    def advance(done: int, total: int) -> None:
        if not bar.live.is_started and time.monotonic() - began > _PATIENCE:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield advance
    finally:
        bar.stop()


def _draw(fit: Fit, path: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("--plot needs matplotlib: pip install 'scalinglaws[plot]'") from None
    # A figure of its own needs no display and leaves the state of pyplot alone.
    figure = Figure(figsize=(11.0, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    fit.plot.loss(ax=left)
    fit.plot.residuals(ax=right)
    figure.savefig(path, dpi=150)


def _families(search: str | None, family: str | None) -> dict[str, list[Law]]:
    """Laws to list, by family."""
    families = catalogue.families
    if family is not None and family not in families:
        raise ValueError(f"there is no family {family!r}.{near(family, families) or _known(families)}")
    wanted = None if search is None else {law.id for law in catalogue.search(search)}
    found = {
        name: [catalogue[id] for id in ids if wanted is None or id in wanted]
        for name, ids in families.items()
        if family in (None, name)
    }
    found = {name: laws for name, laws in found.items() if laws}
    if not found:
        raise ValueError(f"no law matches {search!r}")
    return found


def _known(families: Iterable[str]) -> str:
    return f" Families: {', '.join(families)}"


def _table(families: dict[str, list[Law]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("id", "law", "formula"):
        table.add_column(heading, overflow="fold")
    for family, laws in families.items():
        table.add_row("")
        table.add_row(f"[bold]{escape(family)}[/bold]")
        for law in laws:
            table.add_row(*map(escape, (law.id or "", law.title, law.template or law.formula)))
    Console().print(table)


def _describe(law: Law) -> str:
    lines = [law.title, "=" * len(law.title), *_wrap(law.describes), "", f"    {law.formula}", ""]
    if law.template is not None:
        labels = "; ".join(f"{index} = {', '.join(names)}" for index, names in law.labels.items())
        lines += [f"    {law.template}", f"    over {labels}; --over gives other labels", ""]
    if not law.verified:
        lines += ["Not verified against numbers of the paper.", ""]
    if law.family:
        lines += [f"family {law.family}", ""]
    target = law.target_unit or "unit of the data"
    rows = [(str(law.target), f"predicted: {target}")]
    rows += [(name, meaning or "input") for name, meaning in law.meanings.items()]
    lines += ["columns", *_aligned(rows), "", "parameters"]
    params = [] if law.params else [("none", "nothing is fitted: call the law")]
    for name, entry in law.params.items():
        start = "" if entry.start is None else f", starts {_span(entry.start)}"
        params.append((name, f"{_domain(entry.domain)}{start}: {entry.meaning}".rstrip(": ")))
    lines += [*_aligned(params), ""]
    lines.append(
        f"residual {law.residual or 'linear'}, loss {law.loss if law.loss is not None else 'squared'}"
    )
    if law.grid is not None:
        count = int(np.prod([len(values) for values in law.grid.values()]))
        lines.append(f"--starts paper: {count} starts")
    for known in law.published:
        values = ", ".join(f"{name} = {value:.10g}" for name, value in known.values.items())
        lines += ["", *_wrap(known.source), *_wrap(values, "    "), *_wrap(known.notes, "    ")]
    if law.papers:
        lines += ["", "papers", *(f"    {paper}" for paper in law.papers)]
    if law.notes:
        lines += ["", law.notes]
    return "\n".join(lines)


def _aligned(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"    {name:<{width}}  {text}" for name, text in rows]


def _domain(domain: object) -> str:
    return f"{domain[0]:g} to {domain[1]:g}" if isinstance(domain, tuple) else str(domain)


def _span(start: float | tuple[float, float]) -> str:
    return f"{start[0]:g} to {start[1]:g}" if isinstance(start, tuple) else f"{start:g}"


def _wrap(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, 88, initial_indent=indent, subsequent_indent=indent, break_long_words=False)

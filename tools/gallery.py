"""Write the gallery of laws, ``docs/laws.md`` with its plots, from the files of the catalogue.

``python tools/gallery.py`` writes; with ``--check`` it only compares, and leaves with 1 if a file is not what
it would write. The page holds nothing that is not in a law file, but for the fit examples: these are tried
here, and `docs/run_examples.py` runs them again as they stand on the page.
"""

from __future__ import annotations

import re
import sys
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scalinglaws as sl
from curves import plot, short
from generated import write_or_check

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "laws.md"
PLOTS = DOCS / "laws"
CATALOGUE = "../python/scalinglaws/catalogue"

# Sets of coefficients with more parameters than this are listed downwards.
COLUMNS = 7
# Longer tables of published sets are folded.
ROWS = 8
POINTS = 81
# A fit of exact rows has found the coefficients if none is further away than this.
FOUND = 1e-6

HEAD = """\
# Gallery of laws

Every law of the catalogue: `sl.laws.<id>`, or `sl.fit("<id>", runs)`. The page is written from the law files
by `make gallery`. The formula of a law marked **unverified** comes from secondary sources or from memory and
was not compared with the paper.

A plot shows the law at its first published coefficients, or else at those of its first check, along its
first input over the usual range. Other inputs are held, at the numbers of the first check where it has them.
Numbers in tables are rounded to six digits; the law files have all.

Each law is fitted to rows that it predicts exactly, so that the fit has to give back the coefficients that
they were simulated with. `fixed` holds parameters that such rows do not determine; `starts=known` stands
where a search of 4096 starts over the whole start ranges does not end at them. The [guide](guide.md) shows
real runs.

```pycon
>>> import numpy as np
>>> import scalinglaws as sl
>>> def simulated(law, known, n=60):
...     \"\"\"Rows of an experiment like the paper's, or over the usual ranges, with the law's values.\"\"\"
...     spread = np.random.default_rng(1)
...     rows = {}
...     if law.design is not None:
...         rows = law.design.columns()
...     else:
...         for name, (low, high) in law.ranges.items():
...             share = spread.permutation(n) / (n - 1)
...             rows[name] = low * (high / low) ** share if low > 0 else low + (high - low) * share
...         for name, column in law.groups.items():
...             rows[column] = np.resize(list(known[name]), n)
...     return {**rows, law.target: law(**rows, **known)}
>>> def shown(fit, digits=4):
...     return {name: float(f"{value:.{digits}g}") for name, value in fit.values.items()}

```
"""


def gallery() -> dict[Path, str]:
    """Return every file of the gallery.

    Returns
    -------
    dict of Path to str
        The page, and one plot for each law.
    """
    helpers: dict[str, Any] = {}
    exec("\n".join(line[4:] for line in HEAD.splitlines() if re.match(r"(>>>|\.\.\.) ", line)), helpers)
    out, plots = [HEAD, *_contents()], {}
    for family, ids in sl.laws.families.items():
        out.append(f"\n## {family[0].upper()}{family[1:]}")
        for id in ids:
            law = sl.laws[id]
            plots[PLOTS / f"{id}.svg"] = drawing(law)
            out += ["", *_section(law, helpers)]
    return {PAGE: "\n".join(out) + "\n", **plots}


def _contents() -> Iterator[str]:
    for family, ids in sl.laws.families.items():
        anchor = family.replace(" ", "-")
        yield f"- [{family}](#{anchor}): " + ", ".join(f"[{id}](#{id})" for id in ids)


def _section(law: sl.Law, helpers: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {law.id}\n"
    others = [f"`{alias}`" for alias, id in sl.laws.aliases.items() if id == law.id]
    also = f" Other ids: {', '.join(others)}." if others else ""
    yield f"**{escaped(law.title)}.** {escaped(law.describes)}{also}\n"
    yield f"```math\n{formula(law)}\n```\n"
    if not law.verified:
        yield "> **Unverified**: this formula was not compared with the paper.\n"
    if law.template is not None:
        labels = "; ".join(f"{index} = {', '.join(names)}" for index, names in law.labels.items())
        yield f"Written for {labels} from the template `{law.template}`; `law.over(...)` gives others.\n"
    yield f"![{law.id} along its inputs](laws/{law.id}.svg)\n"
    yield f"Predicts `{law.target}` ({escaped(law.target_unit)}). {_recipe(law)}\n"
    yield from _inputs(law)
    yield from _parameters(law)
    yield from _published(law)
    yield f"{escaped(law.notes)}\n"
    yield f"Sources: {'; '.join(map(_linked, law.papers))}. [Law file]({CATALOGUE}/{law.id}.toml).\n"
    yield "\n".join(["```pycon", *example(law, helpers), "", "```"])


def escaped(text: str) -> str:
    r"""Return text in which Markdown sees no markup.

    Parameters
    ----------
    text : str
        Plain text; empty lines separate paragraphs.

    Returns
    -------
    str
        The same with backslashes.

    Examples
    --------
    >>> print(escaped("A*6**eta | N_act < 3"))
    A\*6\*\*eta \| N\_act \< 3
    """
    marked = re.sub(r"([\\`*_\[\]<>|~$])", r"\\\1", text.strip())
    # At the start of a line these would begin a list, a heading or a rule.
    return re.sub(r"(?m)^(\s*)(\d+)([.)]\s)|^(\s*)([-+#=])", _start_of_line, marked)


def _start_of_line(found: re.Match[str]) -> str:
    if found[2]:
        return f"{found[1]}{found[2]}\\{found[3]}"
    return f"{found[4]}\\{found[5]}"


def formula(law: sl.Law) -> str:
    """Return the formula in the LaTeX that GitHub renders.

    Parameters
    ----------
    law : Law
        A law.

    Returns
    -------
    str
        LaTeX without ``operatorname``, which GitHub refuses.
    """
    return law.latex().replace(r"\operatorname{", r"\mathrm{")


def _recipe(law: sl.Law) -> str:
    parts = [f"{law.residual} residuals" if law.residual else "", f"loss `{law.loss}`" if law.loss else ""]
    if law.grid is not None:
        starts = int(np.prod([len(values) for values in law.grid.values()]))
        parts.append(f'`starts="paper"` is a grid of {starts:,}')
    said = ", ".join(part for part in parts if part)
    return f"Recipe: {said}." if said else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _inputs(law: sl.Law) -> Iterator[str]:
    rows = []
    for name, meaning in law.meanings.items():
        low, high = law.ranges.get(name, (None, None))
        usual = "" if low is None or high is None else f"{short(low)} to {short(high)}"
        rows.append([f"`{name}`", escaped(meaning), usual])
    yield _table(["input", "meaning and unit", "usual range"], rows)


def _parameters(law: sl.Law) -> Iterator[str]:
    if not law.params:
        return
    rows = []
    for name, param in law.params.items():
        by = f" per `{law.groups[name]}`" if name in law.groups else ""
        low, high = param.bounds
        domain = f"{short(low)} to {short(high)}" if isinstance(param.domain, tuple) else param.domain
        ends = param.start if isinstance(param.start, tuple) else (param.start,)
        start = " to ".join(short(end) for end in ends if end is not None)
        held = f"held at {short(param.value)}" if param.value is not None else start
        rows.append([f"`{name}`{by}", escaped(param.meaning), str(domain), held])
    yield _table(["parameter", "meaning", "domain", "starts"], rows)


def _published(law: sl.Law) -> Iterator[str]:
    if not law.published:
        return
    sets = [(p.source + (f" ({p.notes.rstrip('.')})" if p.notes else ""), p.values) for p in law.published]
    names = list(dict.fromkeys(name for _, values in sets for name in values))
    if len(names) > COLUMNS:
        cells = [[f"`{name}`", *(_cell(values, name) for _, values in sets)] for name in names]
        yield _table(["published", *map(str, range(len(sets)))], cells)
        yield "\n".join(f"- {number}: {escaped(source)}" for number, (source, _) in enumerate(sets)) + "\n"
        return
    cells = [[escaped(source), *(_cell(values, name) for name in names)] for source, values in sets]
    table = _table(["published", *(f"`{name}`" for name in names)], cells)
    fold = f"<details><summary>{len(sets)} published sets</summary>\n\n{table}\n</details>\n"
    yield fold if len(sets) > ROWS else table


def _cell(values: Mapping[str, float], name: str) -> str:
    return f"{values[name]:.6g}" if name in values else ""


def _linked(paper: str) -> str:
    linked = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", paper)
    return linked if linked != paper else escaped(paper)


# ---- plots -------------------------------------------------------------------------------------------------


def coefficients(law: sl.Law) -> tuple[str, Mapping[str, Any]]:
    """Return coefficients with which a law can be called, and how to write them.

    Parameters
    ----------
    law : Law
        A law.

    Returns
    -------
    str
        An expression in ``law``.
    mapping of str to float or mapping
        Its value: the first published set that is complete, else the values of the first check.
    """
    needed = {name for name, param in law.params.items() if param.value is None}
    for which, published in enumerate(law.published):
        if needed <= set(published.values) and not law.groups:
            return f"law.published[{which}].values", published.values
    return "law.checks[0].values", law.checks[0].values


def drawing(law: sl.Law) -> str:
    """Draw a law along its first input, for three values of a second one.

    Parameters
    ----------
    law : Law
        A law with usual ranges for its inputs.

    Returns
    -------
    str
        SVG.
    """
    _, known = coefficients(law)
    first, *rest = law.ranges
    x = _spread(law.ranges[first], POINTS)
    held: dict[str, Any] = {name: float(_spread(law.ranges[name], 3)[1]) for name in rest}
    held |= {name: value for name, value in law.checks[0].inputs.items() if name != first}
    levels: dict[str, dict[str, Any]] = {"": {}}
    if law.groups:
        name, column = next(iter(law.groups.items()))
        levels = {f"{column} = {label}": {column: label} for label in list(known[name])[:3]}
    elif rest:
        name = rest[0]
        levels = {f"{name} = {short(at)}": {name: float(at)} for at in _spread(law.ranges[name], 3)}
    curves = {
        label: np.broadcast_to(np.asarray(law(**{first: x, **held, **level, **known}), dtype=float), x.shape)
        for label, level in levels.items()
    }
    title = f"{law.id}: {law.target} against {first}"
    log_x = bool(law.ranges[first][0] > 0.0 and x[-1] > 12.0 * x[0])
    return plot(x, curves, x_label=first, y_label=str(law.target), title=title, log_x=log_x)


def _spread(ends: tuple[float, float], count: int) -> Any:
    return np.geomspace(*ends, count) if ends[0] > 0.0 else np.linspace(*ends, count)


# ---- fit examples ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Attempt:
    """How the fit of an example is called."""

    starts: str = ""
    fixed: tuple[str, ...] = ()

    def text(self) -> str:
        held = ", ".join(f'"{name}": known["{name}"]' for name in self.fixed)
        return "".join(
            [f", starts={self.starts}" if self.starts else "", f", fixed={{{held}}}" if held else ""]
        )

    def run(self, law: sl.Law, rows: Mapping[str, Any], known: Mapping[str, Any]) -> sl.Fit:
        options: dict[str, Any] = {}
        if self.starts:
            options["starts"] = known if self.starts == "known" else int(self.starts)
        if self.fixed:
            options["fixed"] = {name: known[name] for name in self.fixed}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sl.FitWarning)
            return sl.fit(law, rows, **options)


def example(law: sl.Law, helpers: Mapping[str, Any]) -> list[str]:
    """Return the lines of a doctest that fits a law to rows simulated from it.

    Parameters
    ----------
    law : Law
        A law.
    helpers : mapping
        The functions that stand at the top of the page.

    Returns
    -------
    list of str
        Input and output. A law without parameters is evaluated instead, and so is one that simple means do
        not fit.

    Raises
    ------
    ValueError
        If a coefficient cannot be rounded safely.
    """
    written, known = coefficients(law)
    lines = [f">>> law = sl.laws.{law.id}"]
    if law.params:
        rows = helpers["simulated"](law, known)
        found = _working(law, rows, known)
        if found is not None:
            attempt, fit = found
            digits = _digits(fit.values)
            more = "" if digits == 4 else f", {digits}"
            values = textwrap.fill(str(helpers["shown"](fit, digits)), 116, subsequent_indent=" ")
            return [
                *lines,
                f">>> known = {written}",
                f">>> fit = sl.fit(law, simulated(law, known){attempt.text()})",
                ">>> fit.valid",
                "True",
                f">>> shown(fit{more})",
                values,
            ]
        print(
            f"{law.id}: no simple fit finds its coefficients; the example only evaluates it", file=sys.stderr
        )
    check = law.checks[0]
    result = law(**check.inputs, **check.values)
    return [
        *lines,
        ">>> check = law.checks[0]",
        '>>> print(f"{law(**check.inputs, **check.values):.6g}")',
        f"{result:.6g}",
    ]


def _working(
    law: sl.Law, rows: Mapping[str, Any], known: Mapping[str, Any]
) -> tuple[_Attempt, sl.Fit] | None:
    """Return the simplest call that gives back the coefficients."""
    waiting = [_Attempt(), _Attempt("4096"), _Attempt("known")]
    while waiting:
        attempt = waiting.pop(0)
        fit = attempt.run(law, rows, known)
        if fit.valid and _distance(fit.values, known) < FOUND:
            return attempt, fit
        # A verdict proposes what to hold; with the default search that is tried before longer ones.
        proposed = re.search(r"fixed=\{'(\w+)'", fit.message)
        if not attempt.starts and proposed and proposed[1] in known and len(attempt.fixed) < 4:
            fixed = (*attempt.fixed, proposed[1])
            waiting = [_Attempt(starts, fixed) for starts in ("", "4096", "known")] + waiting
    return None


def _distance(values: Mapping[str, float], known: Mapping[str, Any]) -> float:
    flat: dict[str, float] = {}
    for name, value in known.items():
        by_label = isinstance(value, Mapping)
        flat |= {f"{name}[{label}]": x for label, x in value.items()} if by_label else {name: value}
    # A parameter that the law declares with a value is not among the known ones.
    shared = [(value, flat[name]) for name, value in values.items() if name in flat]
    return max((abs(value - true) / max(abs(true), 1e-3) for value, true in shared), default=0.0)


def _digits(values: Mapping[str, float]) -> int:
    """Return a number of digits at which the last bits of the machine do not show."""
    for digits in (4, 5, 6, 3):
        texts = [[f"{x * nudge:.{digits}g}" for x in values.values()] for nudge in (1.0 - FOUND, 1.0 + FOUND)]
        if texts[0] == texts[1]:
            return digits
    raise ValueError(f"every rounding of {values} hangs on the last bits")


def main(arguments: list[str]) -> int:
    """Write or check the gallery; see `write_or_check`."""
    return write_or_check(
        arguments,
        gallery,
        "gallery",
        leftover=lambda files: [path for path in PLOTS.glob("*.svg") if path not in files],
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

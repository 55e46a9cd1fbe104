"""The text table of a fit."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .result import Fit

__all__ = ["summary"]

_WIDTH = 78


def summary(fit: Fit) -> str:
    """Return a text table of a fit, at most 78 columns wide where the formula allows it.

    Parameters
    ----------
    fit : Fit
        The fit.

    Returns
    -------
    str
        Lines without a final newline.
    """
    title = fit.law.title or fit.law.id or "Fit"
    lines = [title, "=" * len(title), *_wrapped(fit.law.formula, "    ")]
    lines.append("")
    kind = "sandwich" if fit.loss.robust else "classical"
    facts = [
        ("rows", f"{fit.nobs}"),
        ("residual", fit.residual),
        ("loss", str(fit.loss)),
        ("dof", f"{fit.dof}"),
        ("objective", f"{fit.objective:.10g}"),
        ("rms residual", f"{math.sqrt(max(fit.rss, 0.0) / fit.nobs):.4g}"),
    ]
    facts += [("AIC", f"{fit.aic:.2f}"), ("BIC", f"{fit.bic:.2f}")]
    half = (len(facts) + 1) // 2
    for left, right in zip(facts[:half], [*facts[half:], ("", "")][:half], strict=True):
        lines.append(f"{left[0]:<12}{left[1]:<28}{right[0]:<14}{right[1]}".rstrip())
    lines += ["", *_table(fit), "", f"standard errors: {kind}"]
    lines += _starts(fit)
    lines += _determined(fit)
    lines += _wrapped(f"{'valid' if fit.valid else 'NOT VALID'}: {fit.message}", "")
    return "\n".join(lines)


def _table(fit: Fit) -> list[str]:
    params = fit.params
    width = max(9, *(len(name) for name in params))
    lines = [f"{'parameter':<{width}}  {'value':>14}  {'stderr':>11}  {'relative':>8}"]
    lines.append("-" * len(lines[0]))
    for name, param in params.items():
        if param.expr is not None:
            note, error, relative = f"= {param.expr}", f"{param.stderr:.4g}", ""
        elif not param.vary:
            note, error, relative = "fixed", "", ""
        elif param.at_bound:
            note, error, relative = "at its bound", "", ""
        else:
            note, error = "", f"{param.stderr:.4g}"
            share = 100 * param.stderr / abs(param.value) if param.value else math.inf
            relative = f"{share:.1f} %" if share < 1e4 else ""
        lines.append(f"{name:<{width}}  {param.value:>14.8g}  {error:>11}  {relative:>8}  {note}".rstrip())
    return lines


def _starts(fit: Fit) -> list[str]:
    starts = fit.starts
    if starts.n == 1:
        return []
    solved = (
        f"{starts.solved} of {starts.n} starts solved"
        if starts.solved < starts.n
        else f"{starts.n} starts solved"
    )
    lines = [f"{solved}, {starts.hits} ({100 * starts.share:.0f} %) reached the best basin"]
    if len(fit.basins) > 1:
        second = fit.basins[1]
        lines.append(f"next basin: objective {second.objective:.8g}, {second.hits} hits")
    return lines


def _determined(fit: Fit) -> list[str]:
    """Say what the runs determine, where the fit still holds them or was saved with the answer."""
    if not fit.has_data and "diagnostics" not in fit._known:
        return []
    found = fit.diagnostics
    if not found.names:
        return []
    lines = [
        f"effective parameters {found.effective:.1f} of {fit.nfree}, condition number {found.condition:.1e}"
    ]
    for note in found.notes:
        lines += _wrapped(note, "  ")
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )

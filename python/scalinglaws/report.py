"""The text table of a fit."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .posterior.draws import Posterior
    from .result import Fit
    from .uncertainty.bootstrap import Bootstrap
    from .uncertainty.intervals import Interval, IntervalKind

__all__ = ["bootstrap_summary", "interval_summary", "posterior_summary", "summary"]

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


def interval_summary(fit: Fit, intervals: Mapping[str, Interval], level: float, by: str | None) -> str:
    """Return a text table of the intervals of `Fit.conf_int`.

    Parameters
    ----------
    fit : Fit
        The fit.
    intervals, level, by
        What it gave, and for which level and clusters.

    Returns
    -------
    str
        Lines without a final newline.
    """
    head = f"{100 * level:g} % intervals" + ("" if by is None else f", clusters by {by}")
    lines = [head, "=" * len(head)]
    width = max(9, *(len(name) for name in intervals))
    lines.append(f"{'parameter':<{width}}  {'value':>14}  {'lower':>12}  {'upper':>12}")
    lines.append("-" * len(lines[-1]))
    params = fit.params
    for name, span in intervals.items():
        lower, upper, note = f"{span.lower:.6g}", f"{span.upper:.6g}", ""
        if not params[name].vary and params[name].expr is None:
            lower, upper, note = "", "", "fixed"
        elif span.one_sided:
            note = f"no {'upper' if span.lower_end == 'found' else 'lower'} limit inside the domain"
        elif span.lower_end != "found":
            note = "not determined"
        value = params[name].value
        lines.append(f"{name:<{width}}  {value:>14.8g}  {lower:>12}  {upper:>12}  {note}".rstrip())
    return "\n".join(lines)


def bootstrap_summary(boot: Bootstrap, level: float, kind: IntervalKind) -> str:
    """Return a text table of a bootstrap.

    Parameters
    ----------
    boot : Bootstrap
        The draws.
    level, kind
        Of the intervals.

    Returns
    -------
    str
        Lines without a final newline.
    """
    intervals = boot.conf_int(level, kind)
    title = boot.fit.law.title or boot.fit.law.id or "Fit"
    what = boot.kind if boot.factor is None else f"{boot.kind} ({boot.factor})"
    what += "" if boot.clusters is None else f", {boot.clusters} clusters by {boot.by}"
    head = f"{title}: bootstrap"
    lines = [head, "=" * len(head), f"{len(boot.status)} draws, {what}, seed {boot.seed}", ""]
    width = max(9, *(len(name) for name in boot.names))
    span = f"{100 * level:g} % {kind}"
    lines.append(f"{'parameter':<{width}}  {'value':>14}  {'stderr':>10}  {'bias':>10}  {span:>24}")
    lines.append("-" * len(lines[-1]))
    values, errors, bias = boot.fit.values, boot.stderr(), boot.bias
    params = boot.fit.params
    for name, (low, high) in intervals.items():
        fixed = not params[name].vary and params[name].expr is None
        ends = "fixed" if fixed else f"{low:.6g} to {high:.6g}"
        error, off = ("", "") if fixed else (f"{errors[name]:.4g}", f"{bias[name]:.2g}")
        lines.append(f"{name:<{width}}  {values[name]:>14.8g}  {error:>10}  {off:>10}  {ends:>24}")
    lines.append("")
    if boot.failures:
        spoken = ", ".join(f"{count} {status}" for status, count in boot.failures.items())
        lines += _wrapped(f"{sum(boot.failures.values())} draws failed and are left out: {spoken}", "")
    else:
        lines.append("every draw converged")
    if boot.moved:
        lines += _wrapped(f"{boot.moved} draws found their optimum from another start than the best fit", "")
    return "\n".join(lines)


def posterior_summary(post: Posterior, level: float) -> str:
    """Return a text table of draws from the posterior.

    Parameters
    ----------
    post : Posterior
        The draws.
    level : float
        Of the intervals.

    Returns
    -------
    str
        Lines without a final newline.
    """
    title = f"{post.fit.law.title or post.fit.law.id or 'Fit'}: posterior"
    chains, draws, _ = post.draws.shape
    lines = [
        title,
        "=" * len(title),
        f"{chains} chains of {draws} draws, noise {post.likelihood}, seed {post.seed}",
        "",
    ]
    width = max(9, *(len(name) for name in post.names))
    span = f"{100 * level:g} %"
    lines.append(
        f"{'parameter':<{width}}  {'median':>12}  {'stderr':>10}  {span:>24}  {'R-hat':>6}  {'ESS':>6}"
    )
    lines.append("-" * len(lines[-1]))
    median, errors = post.median, post.stderr()
    for name, (low, high) in post.conf_int(level).items():
        if math.isnan(post.rhat[name]):
            lines.append(f"{name:<{width}}  {median[name]:>12.6g}  {'':>10}  {'fixed':>24}")
            continue
        least = min(post.ess_bulk[name], post.ess_tail[name])
        ends = f"{low:.6g} to {high:.6g}"
        lines.append(
            f"{name:<{width}}  {median[name]:>12.6g}  {errors[name]:>10.4g}  {ends:>24}  "
            f"{post.rhat[name]:>6.3f}  {least:>6.0f}"
        )
    lines.append("")
    for name, prior in post.priors.items():
        lines.append(f"prior of {name}: {prior.kind}({prior.center:g}, {prior.width:g})")
    for unit, words in (("linear", "flat"), ("log", "flat in the logarithm")):
        found = [name for name, other in post.flat.items() if other == unit]
        if found:
            lines += _wrapped(f"{words}: {', '.join(found)}", "")
    lines += _wrapped(f"{'valid' if post.valid else 'NOT VALID'}: {post.message}", "")
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

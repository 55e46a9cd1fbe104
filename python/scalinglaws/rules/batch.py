"""Critical batch size: what a loss costs at another batch size, and three ways to measure it from runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ..fit import fit
from ..laws import laws
from ..losses import squared
from ..result import Fit
from ._check import Floats, Real, column, columns, give, numbers, same_shape, scalar
from ._fits import fit_powers

__all__ = [
    "BatchAdjustment",
    "BranchingBatch",
    "CurvesBatch",
    "OverheadBatch",
    "critical_batch_by_branching",
    "critical_batch_from_curves",
    "critical_batch_from_runs",
    "critical_batch_size",
    "overhead_batch_size",
    "tokens_to_loss",
]


@dataclass(frozen=True, eq=False)
class BatchAdjustment:
    """What a run would have cost at the best trade-off between steps and data.

    Parameters
    ----------
    B_crit : float or ndarray
        Critical batch size at the loss reached, tokens.
    S_min : float, ndarray or None
        Fewest steps that reach the loss, at a batch far above `B_crit`; None without `B` and `S`.
    T_min : float, ndarray or None
        Fewest tokens that reach the loss, at a batch far below `B_crit`; None without `B` and `S`.
    compute_ratio : float, ndarray or None
        Least compute over the compute spent; None without `B`.
    C_min : float, ndarray or None
        Least compute, in the unit of `C`; None without `B` and `C`.
    """

    B_crit: Real
    S_min: Real | None
    T_min: Real | None
    compute_ratio: Real | None
    C_min: Real | None


@dataclass(frozen=True, eq=False)
class OverheadBatch:
    """Critical batch size by the overhead over perfect scaling.

    Parameters
    ----------
    B_crit : float
        Batch with `overhead` more steps than perfect scaling from `B_ref` would need, in the unit of the
        data.
    B_hyperbola : float
        Batch at which steps and data are twice their minima, b/a: much larger than `B_crit`.
    S_min : float
        Steps with an unlimited batch, a.
    B_ref, overhead : float
        What the definition depends on; report them with the number.
    fit : Fit
        The fit of the law ``batch_steps``.
    """

    B_crit: float
    B_hyperbola: float
    S_min: float
    B_ref: float
    overhead: float
    fit: Fit


@dataclass(frozen=True, eq=False)
class CurvesBatch:
    """Critical batch sizes at several losses, from loss curves in the tokens of full runs.

    Parameters
    ----------
    losses : ndarray, shape (m,)
        Target losses.
    batches : ndarray, shape (k,)
        Batch sizes, ascending.
    tokens : ndarray, shape (m, k)
        Tokens that reach each loss at each batch size.
    D_min, B_crit, S_min : ndarray, shape (m,)
        Fewest tokens, critical batch size and fewest steps for each loss.
    curves : tuple of Fit, length k
        The law ``power_law_floor`` in tokens at each batch size.
    trend : Fit or None
        ``B_crit ~ c * D_min**a1`` over the losses; None for one loss.
    """

    losses: Floats
    batches: Floats
    tokens: Floats
    D_min: Floats
    B_crit: Floats
    S_min: Floats
    curves: tuple[Fit, ...]
    trend: Fit | None


@dataclass(frozen=True, eq=False)
class BranchingBatch:
    """Critical batch size from branches of one checkpoint.

    Parameters
    ----------
    B_crit : float
        The largest batch whose loss did not rise.
    k : float
        The same as a multiple of the batch before the branch.
    rise : ndarray, shape (m,)
        Loss of each branch above the loss at k = 1.
    bracketed : bool
        Whether some larger batch failed; if not, `B_crit` is only a lower bound.
    """

    B_crit: float
    k: float
    rise: Floats
    bracketed: bool


def critical_batch_size(
    L: ArrayLike,
    B: ArrayLike | None = None,
    S: ArrayLike | None = None,
    C: ArrayLike | None = None,
    *,
    B_star: ArrayLike = 2e8,
    alpha_B: ArrayLike = 0.21,
) -> BatchAdjustment:
    """Convert runs at any batch size to least steps, least tokens and least compute.

    ``B_crit = B_star / L**(1 / alpha_B)`` depends on the loss only; ``S_min = S / (1 + B_crit/B)``, ``T_min
    = B S / (1 + B/B_crit)`` and ``C_min = C / (1 + B/B_crit)`` (McCandlish et al. 2018, arXiv:1812.06162;
    Kaplan et al. 2020, arXiv:2001.08361, eqs. 1.4 and 5.1 to 5.5). Laws of the least compute or of the
    steps, such as ``kaplan_ns``, are fitted to these.

    Parameters
    ----------
    L : array_like
        Loss that the run reached, nats per token.
    B : array_like, optional
        Batch size in tokens, not sequences.
    S : array_like, optional
        Optimizer steps; needs `B`.
    C : array_like, optional
        Training compute in any unit; needs `B`.
    B_star : array_like
        Critical batch size at a loss of 1, tokens; Kaplan et al. print 2e8 (2.1e8 in a table).
    alpha_B : array_like
        Exponent. Both constants are fitted by the law ``critical_batch_loss``.

    Returns
    -------
    BatchAdjustment
        Whatever follows from the arguments.

    Raises
    ------
    ValueError
        If a number is not positive, or `S` or `C` comes without `B`.

    Notes
    -----
    Steps shrink with ``B_crit/B`` and compute with ``B/B_crit``: notes that print one ratio for both are
    wrong. At the critical batch size a run takes twice the least steps and twice the least tokens.

    Examples
    --------
    >>> run = critical_batch_size(L=3.0, B=524288, S=250000)
    >>> round(run.B_crit), round(run.S_min), round(run.compute_ratio, 4)
    (1069114, 82259, 0.671)
    """
    given = {"L": L, "B": B, "S": S, "C": C, "B_star": B_star, "alpha_B": alpha_B}
    known = {name: numbers(name, value, above=0.0) for name, value in given.items() if value is not None}
    for name in ("S", "C"):
        if name in known and "B" not in known:
            raise ValueError(f"{name} needs the batch size B as well")
    same_shape(**known)
    critical = known["B_star"] / known["L"] ** (1.0 / known["alpha_B"])
    steps = tokens = ratio = compute = None
    if "B" in known:
        excess = known["B"] / critical
        ratio = give(1.0 / (1.0 + excess))
        if "S" in known:
            steps = give(known["S"] / (1.0 + 1.0 / excess))
            tokens = give(known["B"] * known["S"] / (1.0 + excess))
        if "C" in known:
            compute = give(known["C"] / (1.0 + excess))
    return BatchAdjustment(give(critical), steps, tokens, ratio, compute)


def overhead_batch_size(a: ArrayLike, b: ArrayLike, B_ref: ArrayLike, overhead: ArrayLike = 0.2) -> Real:
    """Return the batch size at which steps exceed perfect scaling by a share.

    With ``S(B) = a + b/B`` and perfect scaling from `B_ref`, ``a + b/B = (1 + overhead) (a + b/B_ref)
    B_ref/B`` has the solution ``overhead b/a + (1 + overhead) B_ref`` (Zhang et al. 2024, arXiv:2410.21676).

    Parameters
    ----------
    a : array_like
        Steps with an unlimited batch; ``S_min`` of the law ``batch_steps``.
    b : array_like
        Samples with a tiny batch; ``S_min * B_crit`` of that law.
    B_ref : array_like
        A batch size in the range of perfect scaling, in the unit of ``b/a``.
    overhead : array_like
        Share of steps above perfect scaling.

    Returns
    -------
    float or ndarray
        Critical batch size in the unit of `B_ref`.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> round(overhead_batch_size(a=1293.82687, b=2834258.088, B_ref=256), 2)
    745.32
    """
    steps, samples, reference, share = same_shape(
        a=numbers("a", a, above=0.0),
        b=numbers("b", b, above=0.0),
        B_ref=numbers("B_ref", B_ref, above=0.0),
        overhead=numbers("overhead", overhead, least=0.0),
    )
    return give(share * samples / steps + (1.0 + share) * reference)


def critical_batch_from_runs(
    B: ArrayLike, S: ArrayLike, *, B_ref: float, overhead: float = 0.2
) -> OverheadBatch:
    """Measure the critical batch size from the steps that several batch sizes take to one loss.

    Fits ``S(B) = a + b/B`` (the law ``batch_steps`` with its exponent at 1) to the logarithms of the steps
    and applies `overhead_batch_size`, the definition of Zhang et al. 2024 (arXiv:2410.21676). Two other
    published definitions are `critical_batch_from_curves` and `critical_batch_by_branching`; they give other
    numbers.

    Parameters
    ----------
    B : array_like, shape (n,)
        Batch sizes, in sequences or tokens; at least two different ones.
    S : array_like, shape (n,)
        Steps to the target loss, each at a learning rate tuned for its batch size.
    B_ref : float
        A batch size in the range of perfect scaling; Zhang et al. take 256 sequences of 512 tokens.
    overhead : float
        Share of steps above perfect scaling.

    Returns
    -------
    OverheadBatch
        The critical batch size in the unit of `B`.

    Raises
    ------
    ValueError
        If a number is not positive, or there is only one batch size.

    Examples
    --------
    >>> B = np.array([64, 128, 256, 512, 1024, 2048, 4096])
    >>> found = critical_batch_from_runs(B, 1300 * (1 + 2200 / B), B_ref=256)
    >>> round(found.B_crit, 3), round(found.B_hyperbola, 3)
    (747.2, 2200.0)
    """
    batches, steps = columns({"B": {"above": 0.0}, "S": {"above": 0.0}}, B=B, S=S)
    if len(np.unique(batches)) < 2:
        raise DataError("B holds one batch size: at least two are needed", "B")
    reference, share = scalar("B_ref", B_ref, above=0.0), scalar("overhead", overhead, least=0.0)
    start = {"S_min": float(steps.min()), "B_crit": float(np.exp(np.log(batches).mean())), "a": 1.0}
    found = fit(
        laws["batch_steps"],
        {"B": batches, "S": steps},
        residual="log",
        loss=squared(),
        fixed={"a": 1.0},
        starts=start,
    )
    a, ratio = found.values["S_min"], found.values["B_crit"]
    return OverheadBatch(
        B_crit=scalar("B_crit", overhead_batch_size(a, a * ratio, reference, share)),
        B_hyperbola=ratio,
        S_min=a,
        B_ref=reference,
        overhead=share,
        fit=found,
    )


def tokens_to_loss(L: ArrayLike, E: ArrayLike, D_const: ArrayLike, beta: ArrayLike) -> Real:
    """Return the tokens at which ``E + D_const * D**(-beta)`` falls to a loss.

    The inversion step of Bergsma et al. 2025 (arXiv:2505.13738).

    Parameters
    ----------
    L : array_like
        Target loss, above `E`.
    E : array_like
        Loss with unlimited data.
    D_const, beta : array_like
        Amplitude and exponent.

    Returns
    -------
    float or ndarray
        Tokens.

    Raises
    ------
    ValueError
        If the loss is not above `E`, or a number is out of range.

    Examples
    --------
    >>> round(tokens_to_loss(3.0, E=2.0, D_const=150.0, beta=0.2))
    75937500000
    """
    loss, floor, amplitude, exponent = same_shape(
        L=numbers("L", L),
        E=numbers("E", E),
        D_const=numbers("D_const", D_const, above=0.0),
        beta=numbers("beta", beta, above=0.0),
    )
    reducible = loss - floor
    if np.any(reducible <= 0.0):
        raise DataError("L must lie above E: the curve never falls below its floor", "L")
    return give((amplitude / reducible) ** (1.0 / exponent))


def critical_batch_from_curves(
    B: ArrayLike, D: ArrayLike, L: ArrayLike, losses: ArrayLike, *, floor: float | None = None
) -> CurvesBatch:
    """Measure critical batch sizes from full runs at several token counts per batch size.

    The procedure of Bergsma et al. 2025 (arXiv:2505.13738), which assumes nothing about the learning-rate
    schedule: a power law in the tokens for each batch size (every point a run with its own full schedule),
    its inversion at the target losses, the law ``batch_data`` through the pairs of batch size and tokens,
    and a power law of the critical batch size in the least tokens.

    Parameters
    ----------
    B : array_like, shape (n,)
        Batch sizes; at least two different ones.
    D : array_like, shape (n,)
        Training tokens of each run.
    L : array_like, shape (n,)
        Final losses of one model size.
    losses : array_like, shape (m,)
        Target losses, inside the range that every batch size has measured.
    floor : float, optional
        Loss with unlimited data, if known; else each batch size has its own.

    Returns
    -------
    CurvesBatch
        Critical batch sizes in the unit of `B`, steps in tokens over that unit.

    Raises
    ------
    ValueError
        If a batch size has too few token counts (three, or two with `floor`), or a target loss lies outside
        its range.

    Examples
    --------
    >>> B, D = (a.ravel() for a in np.meshgrid([250.0, 500, 1000, 2000], np.geomspace(1e9, 1e11, 6)))
    >>> loss = 2 + 150 * (D / (1 + B / 1500)) ** -0.2
    >>> found = critical_batch_from_curves(B, D, loss, losses=[3.5, 3.2])
    >>> found.B_crit.round(3).tolist(), (found.D_min / 1e9).round(3).tolist()
    ([1500.0, 1500.0], [10.0, 30.518])
    """
    positive = {"above": 0.0}
    batch, tokens, loss = columns({"B": positive, "D": positive, "L": positive}, B=B, D=D, L=L)
    targets = column("losses", losses, above=0.0)
    batches = np.unique(batch)
    if len(batches) < 2:
        raise DataError("B holds one batch size: at least two are needed", "B")
    fixed = None if floor is None else {"E": scalar("floor", floor, above=0.0)}
    curves, reached = [], np.empty((len(targets), len(batches)))
    for index, size in enumerate(batches):
        rows = batch == size
        need = 3 if fixed is None else 2
        if len(np.unique(tokens[rows])) < need:
            raise DataError(f"B = {size:g} has fewer than {need} token counts", "D")
        low, high = loss[rows].min(), loss[rows].max()
        out = (targets < low) | (targets > high)
        if out.any():
            raise DataError(
                f"losses: {targets[out][0]:g} lies outside the range that B = {size:g} has measured, "
                f"{low:g} to {high:g}",
                "losses",
            )
        found = fit(
            laws["power_law_floor"],
            {"x": tokens[rows], "L": loss[rows]},
            residual="log",
            loss=squared(),
            fixed=fixed,
        )
        values = found.values
        curves.append(found)
        reached[:, index] = tokens_to_loss(targets, values["E"], values["A"], values["alpha"])
    least, critical = np.empty(len(targets)), np.empty(len(targets))
    for row, needed in enumerate(reached):
        start = {"D_min": float(needed.min()), "B_crit": float(np.exp(np.log(batches).mean()))}
        pairs = fit(
            laws["batch_data"], {"B": batches, "D": needed}, residual="log", loss=squared(), starts=start
        )
        least[row], critical[row] = pairs.values["D_min"], pairs.values["B_crit"]
    trend = fit_powers(critical, {"D_min": least}) if len(np.unique(least)) > 1 else None
    return CurvesBatch(targets, batches, reached, least, critical, least / critical, tuple(curves), trend)


def critical_batch_by_branching(
    k: ArrayLike, L: ArrayLike, B: float, *, rise: float = 0.01, smoothing: float = 0.5
) -> BranchingBatch:
    """Measure the critical batch size by branches of one checkpoint with larger batches.

    The procedure of Merrill et al. 2025 (arXiv:2505.23971): continue from a checkpoint with the batch
    multiplied by k and the learning rate by the root of k, for the same number of tokens in every branch
    (2e9); the critical batch size is that of the largest k that leaves the loss unchanged within a tolerance.

    Parameters
    ----------
    k : array_like, shape (m,)
        Multiples of the batch size, 1 among them.
    L : array_like, shape (m,) or (m, steps)
        Final loss of each branch, or its loss curve, which is smoothed by an exponential average.
    B : float
        Batch size before the branch.
    rise : float
        Rise of the loss above the branch k = 1 that still counts as none.
    smoothing : float
        Weight that the average keeps of its past, from 0 to below 1.

    Returns
    -------
    BranchingBatch
        The critical batch size in the unit of `B`.

    Raises
    ------
    ValueError
        If k lacks 1 or repeats, or a number is out of range.

    Notes
    -----
    Early checkpoints give small values, later ones a plateau. So start with a small batch, and double it each
    time the critical one has become twice as large.

    Examples
    --------
    >>> found = critical_batch_by_branching([1, 2, 4, 8], [3.000, 3.001, 3.008, 3.05], B=512)
    >>> found.B_crit, found.bracketed
    (2048.0, True)
    """
    multiples = column("k", k, above=0.0)
    if len(np.unique(multiples)) < len(multiples) or 1.0 not in multiples:
        raise DataError("k must hold 1, the branch to compare with, and each multiple once", "k")
    curves = numbers("L", L)
    if curves.ndim not in (1, 2) or curves.shape[0] != len(multiples) or not curves.size:
        raise DataError(f"L must have one row for each of {len(multiples)} branches, not {curves.shape}", "L")
    kept = scalar("smoothing", smoothing, least=0.0, below=1.0)
    size, limit = scalar("B", B, above=0.0), scalar("rise", rise, above=0.0)
    final = curves if curves.ndim == 1 else curves[:, 0]
    if curves.ndim == 2:
        for step in range(1, curves.shape[1]):
            final = kept * final + (1.0 - kept) * curves[:, step]
    above = final - final[multiples == 1.0][0]
    largest = float(multiples[above < limit].max())
    return BranchingBatch(size * largest, largest, above, bool((multiples > largest).any()))

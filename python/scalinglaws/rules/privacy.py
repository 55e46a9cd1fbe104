"""Differentially private training: loss from size, iterations and noise, and the best use of budgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ..fit import fit
from ..laws import laws
from ..losses import squared
from ._check import Floats, Real, columns, give, numbers, same_shape, scalar, whole

__all__ = [
    "PrivateLossModel",
    "PrivatePlan",
    "dp_scaling",
    "extrapolated_loss",
    "isotonic",
]

NoiseFunction = Callable[[Floats, Floats], Floats]

# Losses are extrapolated from what came after this many iterations: the early part of a curve bends.
_SETTLED = 16000.0


@dataclass(frozen=True)
class PrivatePlan:
    """How to spend compute, data and privacy.

    Parameters
    ----------
    M : float
        Parameters of the model.
    B : float
        Expected batch size, examples.
    T : float
        Iterations.
    noise_multiplier : float
        Standard deviation of the noise over the clipping norm.
    nbr : float
        Noise-batch ratio.
    loss : float
        Predicted loss.
    tokens : float
        Tokens processed.
    configurations : int
        How many of the configurations scanned lay inside the measured grid.
    """

    M: float
    B: float
    T: float
    noise_multiplier: float
    nbr: float
    loss: float
    tokens: float
    configurations: int


@dataclass(frozen=True, eq=False)
class PrivateLossModel:
    """Smoothed and extrapolated losses on a grid; made by `dp_scaling`.

    Parameters
    ----------
    M : ndarray, shape (k,)
        Model sizes, ascending.
    T : ndarray, shape (m,)
        Iterations, ascending; the last ones may be extrapolated.
    nbr : ndarray, shape (j,)
        Noise-batch ratios, ascending; 0 may be the first.
    grid : ndarray, shape (k, m, j)
        Losses: they fall with iterations and rise with noise.
    floors : ndarray, shape (k,)
        Loss of each size with unlimited iterations and no noise; NaN without extrapolation.
    measured : float
        The last iteration that was measured.
    """

    M: Floats
    T: Floats
    nbr: Floats
    grid: Floats
    floors: Floats
    measured: float

    def loss(self, M: ArrayLike, T: ArrayLike, nbr: ArrayLike) -> Real:
        """Return the loss between the grid points, linear in all logarithms.

        Parameters
        ----------
        M, T : array_like
            Model sizes and iterations.
        nbr : array_like
            Noise-batch ratios; 0 for training without noise.

        Returns
        -------
        float or ndarray
            Losses in the broadcast shape.

        Raises
        ------
        ValueError
            If a point lies outside the grid: there is no extrapolation.
        """
        size, steps, ratio = same_shape(
            M=numbers("M", M, above=0.0), T=numbers("T", T, above=0.0), nbr=numbers("nbr", nbr, least=0.0)
        )
        out = self._interpolate(size, steps, ratio)
        if np.isnan(out).any():
            where = np.unravel_index(int(np.argmax(np.isnan(out))), out.shape)
            raise DataError(
                f"M = {size[where]:g}, T = {steps[where]:g}, nbr = {ratio[where]:g} lies outside the grid: M "
                f"{self.M[0]:g} to {self.M[-1]:g}, T {self.T[0]:g} to {self.T[-1]:g}, nbr "
                f"{', '.join(f'{value:g}' for value in self.nbr[[0, -1]])}"
            )
        return give(out)

    def best(
        self,
        C: float,
        n: float,
        noise_multiplier: NoiseFunction,
        *,
        seq: float = 512.0,
        sizes: int = 100,
        batch_step: float = 0.25,
    ) -> PrivatePlan:
        """Return the best model size, batch size and iterations for given budgets.

        Scans log-spaced sizes and batch sizes that are powers of ``2**batch_step``; the iterations use up the
        compute.

        Parameters
        ----------
        C : float
            Training FLOPs, ``6 M B T seq``.
        n : float
            Number of users or examples, of which a batch is a random sample.
        noise_multiplier : callable
            Noise multipliers from arrays of iterations and of sampling probabilities ``B/n``, for the privacy
            budget; a `NoiseTable`, for example. NaN means unknown.
        seq : float
            Tokens per example.
        sizes : int
            How many model sizes.
        batch_step : float
            Step of the logarithm to base 2 of the batch size.

        Returns
        -------
        PrivatePlan
            The configuration of the lowest loss.

        Raises
        ------
        ValueError
            If a number is out of range, or no configuration lies inside the grid.
        """
        flops, examples = scalar("C", C, above=0.0), scalar("n", n, least=1.0)
        tokens = scalar("seq", seq, above=0.0)
        step = scalar("batch_step", batch_step, above=0.0)
        M = np.geomspace(self.M[0], self.M[-1], whole("sizes", sizes, least=2))
        B = np.exp2(np.arange(0.0, np.log2(examples) + 1e-9, step))
        M, B = (axis.reshape(-1) for axis in np.meshgrid(np.clip(M, self.M[0], self.M[-1]), B))
        T = flops / (6.0 * M * B * tokens)
        inside = (T >= self.T[0]) & (T <= self.T[-1])
        M, B, T = M[inside], B[inside], T[inside]
        if len(M):
            noise = np.asarray(noise_multiplier(T, np.minimum(B / examples, 1.0)), dtype=np.float64)
            loss = np.full(len(M), np.nan)
            known = np.isfinite(noise)
            loss[known] = self._interpolate(M[known], T[known], noise[known] / B[known])
        if not len(M) or np.isnan(loss).all():
            raise DataError(
                "no configuration for these budgets lies inside the measured sizes, iterations and "
                "noise-batch ratios",
                "C",
            )
        i = int(np.nanargmin(loss))
        return PrivatePlan(
            M=float(M[i]),
            B=float(B[i]),
            T=float(T[i]),
            noise_multiplier=float(noise[i]),
            nbr=float(noise[i] / B[i]),
            loss=float(loss[i]),
            tokens=float(T[i] * B[i] * tokens),
            configurations=int(np.isfinite(loss).sum()),
        )

    def _interpolate(self, M: Floats, T: Floats, nbr: Floats) -> Floats:
        """Losses, NaN outside the grid; the ratio 0 has no logarithm and is a grid of its own."""
        from scipy.interpolate import RegularGridInterpolator

        out = np.full(np.shape(M), np.nan)
        # Rounding must not push a point that stands on the border of the grid out of it.
        log_m = _snap(np.log(M), np.log(self.M))
        log_t = _snap(np.log(T), np.log(self.T))
        axes = (np.log(self.M), np.log(self.T))
        quiet = nbr == 0.0
        if self.nbr[0] == 0.0 and quiet.any():
            free = RegularGridInterpolator(axes, np.log(self.grid[:, :, 0]), bounds_error=False)
            out[quiet] = np.exp(free(np.stack([log_m[quiet], log_t[quiet]], axis=-1)))
        noisy = self.nbr > 0.0
        if noisy.sum() > 1 and (~quiet).any():
            last = np.log(self.nbr[noisy])
            private = RegularGridInterpolator(
                (*axes, last), np.log(self.grid[:, :, noisy]), bounds_error=False
            )
            log_r = _snap(np.log(nbr[~quiet]), last)
            out[~quiet] = np.exp(private(np.stack([log_m[~quiet], log_t[~quiet], log_r], axis=-1)))
        return out


def extrapolated_loss(T: ArrayLike, m: ArrayLike, b: ArrayLike, E: ArrayLike) -> Real:
    """Return ``exp(m log T + b) + E``, the curve that continues a loss beyond what was trained.

    It is the law ``power_law_floor`` with the amplitude ``exp(b)`` and the exponent -m.

    Parameters
    ----------
    T : array_like
        Iterations.
    m, b, E : array_like
        Slope, intercept and floor.

    Returns
    -------
    float or ndarray
        Loss.

    Raises
    ------
    ValueError
        If `T` is not positive.

    Examples
    --------
    >>> round(extrapolated_loss(512000, m=-0.3, b=1.94, E=2.1), 6)
    2.234819
    """
    steps, slope, shift, floor = same_shape(
        T=numbers("T", T, above=0.0), m=numbers("m", m), b=numbers("b", b), E=numbers("E", E)
    )
    return give(np.asarray(np.exp(slope * np.log(steps) + shift) + floor))


def isotonic(y: ArrayLike, *, increasing: bool = False, axis: int = -1) -> Floats:
    """Return the nearest monotone sequence in least squares.

    Parameters
    ----------
    y : array_like
        Values in order.
    increasing : bool
        Whether the result may rise but not fall, instead of the reverse.
    axis : int
        Along which axis.

    Returns
    -------
    ndarray
        Of the shape of `y`.

    Raises
    ------
    ValueError
        If `y` has no axis or holds values that are not finite.

    Examples
    --------
    >>> isotonic([5.0, 4.0, 4.2, 3.9]).round(6).tolist()
    [5.0, 4.1, 4.1, 3.9]
    """
    from scipy.optimize import isotonic_regression

    values = numbers("y", y)
    if not values.ndim or not values.size:
        raise DataError("y must hold at least one value along an axis", "y")
    return np.apply_along_axis(lambda row: isotonic_regression(row, increasing=increasing).x, axis, values)


def dp_scaling(
    M: ArrayLike,
    T: ArrayLike,
    nbr: ArrayLike,
    L: ArrayLike,
    lr: ArrayLike | None = None,
    *,
    warmup: float = 1000.0,
    window: int = 10,
    extend_to: float | None = 8_192_000.0,
) -> PrivateLossModel:
    """Build a loss model of private training from logged runs.

    The semi-parametric model of McKenna et al. 2025 (arXiv:2501.18914). For each size and learning rate the
    logged losses are averaged over the last points and made monotone, falling with iterations and then
    rising with noise; then the best learning rate counts. Beyond the measured iterations each curve
    continues as ``power_law_floor``: its floor comes from the curve of the same size without noise,
    amplitude and exponent from the iterations from 16000 on. Between grid points everything is linear in
    logarithms. The privacy budget enters through the noise-batch ratio only: see `PrivateLossModel.best` and
    `dp_noise_table`.

    Parameters
    ----------
    M : array_like, shape (n,)
        Parameters of the model of each logged loss; at least two sizes.
    T : array_like, shape (n,)
        Iterations so far.
    nbr : array_like, shape (n,)
        Noise-batch ratio, see `noise_batch_ratio`; 0 without noise.
    L : array_like, shape (n,)
        Cross-entropy, nats per token.
    lr : array_like, shape (n,), optional
        Learning rates. Every size and learning rate needs each pair of iterations and ratios once.
    warmup : float
        Leave out losses logged before this iteration.
    window : int
        Number of logged points to average, fewer at the start of a curve; the paper logs every 100
        iterations. 1 for none, as sparse points need.
    extend_to : float, optional
        Continue the curves by doubling the iterations up to here; None for not at all. Needs the ratio 0.

    Returns
    -------
    PrivateLossModel
        Losses on a grid.

    Raises
    ------
    ValueError
        If a column does not fit, or the grid has holes; the first one is named.

    Notes
    -----
    Private optima have smaller models and more tokens than the others, and beyond some compute, which the
    data and the budget set, more of it does not help.

    Examples
    --------
    >>> axes = [1e7, 1e8], np.geomspace(1000, 128000, 8), [0.0, 1e-6, 1e-4]
    >>> M, T, nbr = (axis.ravel() for axis in np.meshgrid(*axes))
    >>> model = dp_scaling(M, T, nbr, 2 + 5e3 * nbr + 30 * M**-0.2 + 9 * T**-0.3, window=1)
    >>> round(model.loss(1e8, 1000, 1e-6), 4), round(model.loss(1e8, 1.024e6, 0), 4)
    (3.8916, 2.8952)
    """
    bounds = {name: {"above": 0.0} for name in ("M", "T", "L", "lr")} | {"nbr": {"least": 0.0}}
    given = {"M": M, "T": T, "nbr": nbr, "L": L} | ({} if lr is None else {"lr": lr})
    size, steps, ratio, loss, *rates = columns(bounds, **given)
    rate = rates[0] if rates else np.ones(len(size))
    keep = steps >= scalar("warmup", warmup, least=0.0)
    size, steps, ratio, loss, rate = (column[keep] for column in (size, steps, ratio, loss, rate))
    axes = [np.unique(column) for column in (size, steps, ratio)]
    for name, axis in zip(("M", "T"), axes, strict=False):
        if len(axis) < 2:
            raise DataError(f"{name} holds {len(axis)} values after the warm-up: a grid needs two", name)
    best = np.full([len(axis) for axis in axes], np.inf)
    for m, model in enumerate(axes[0]):
        for value in np.unique(rate[size == model]):
            rows = (size == model) & (rate == value)
            surface = _surface(
                steps[rows], ratio[rows], loss[rows], axes[1:], f"M = {model:g}, lr = {value:g}"
            )
            surface = isotonic(_trailing_mean(surface, whole("window", window, least=1)), axis=0)
            # The second pass keeps what the first one made: isotonic regression preserves the order of
            # curves.
            best[m] = np.minimum(best[m], isotonic(surface, increasing=True, axis=1))
    measured = float(axes[1][-1])
    floors = np.full(len(axes[0]), np.nan)
    longer = [] if extend_to is None else _doublings(measured, scalar("extend_to", extend_to, above=0.0))
    if longer:
        best, floors = _extended(axes, best, np.array(longer))
        axes[1] = np.concatenate([axes[1], longer])
    return PrivateLossModel(axes[0], axes[1], axes[2], best, floors, measured)


def _surface(T: Floats, nbr: Floats, L: Floats, axes: list[Floats], label: str) -> Floats:
    """Losses of one size and learning rate as a table, iterations by ratios."""
    out = np.full([len(axis) for axis in axes], np.nan)
    row, column = (np.searchsorted(axis, values) for axis, values in zip(axes, (T, nbr), strict=True))
    counts = np.zeros(out.shape, int)
    np.add.at(counts, (row, column), 1)
    for i, j in product(*map(range, out.shape)):
        if counts[i, j] != 1:
            raise DataError(
                f"{label} has {counts[i, j]} losses at T = {axes[0][i]:g}, nbr = {axes[1][j]:g}; the grid "
                "needs one",
                "L",
            )
    out[row, column] = L
    return out


def _trailing_mean(surface: Floats, window: int) -> Floats:
    total = np.cumsum(np.concatenate([np.zeros((1, surface.shape[1])), surface]), axis=0)
    stop = np.arange(1, len(surface) + 1)
    start = np.maximum(0, stop - window)
    return np.asarray((total[stop] - total[start]) / (stop - start)[:, None])


def _doublings(last: float, limit: float) -> list[float]:
    out = []
    while 2.0 * last <= limit:
        last *= 2.0
        out.append(last)
    return out


def _extended(axes: list[Floats], best: Floats, longer: Floats) -> tuple[Floats, Floats]:
    """Grid with the extrapolated iterations, and the floor of each size."""
    sizes, steps, ratios = axes
    if ratios[0] != 0.0:
        raise DataError("extrapolation needs curves without noise, nbr = 0; or pass extend_to=None", "nbr")
    settled = steps >= _SETTLED
    if settled.sum() < 3:
        raise DataError(
            f"extrapolation needs three points from T = {_SETTLED:g} on; or pass extend_to=None", "T"
        )
    law, floors = laws["power_law_floor"], np.empty(len(sizes))
    more = np.empty((len(sizes), len(longer), len(ratios)))
    for m in range(len(sizes)):
        clean = best[m, :, 0]
        floor = fit(law, {"x": steps, "L": clean}, residual="linear", loss=squared()).values["E"]
        floors[m] = floor
        for j in range(len(ratios)):
            found = fit(
                law,
                {"x": steps[settled], "L": best[m, settled, j]},
                residual="linear",
                loss=squared(),
                fixed={"E": floor},
            )
            more[m, :, j] = law(x=longer, **found.values)
    return np.concatenate([best, more], axis=1), floors


def _snap(values: Floats, axis: Floats) -> Floats:
    """Move what lies within rounding of an end of the axis onto it."""
    out = np.where(np.abs(values - axis[0]) < 1e-12 * (1.0 + abs(axis[0])), axis[0], values)
    return np.where(np.abs(out - axis[-1]) < 1e-12 * (1.0 + abs(axis[-1])), axis[-1], out)

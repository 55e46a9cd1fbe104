"""Second derivatives of losses, averaged over a window where they live on too few rows.

The second derivative of a loss with a kink, or with a core much narrower than the spread of the residuals,
is zero on nearly all rows. Its average over a window around each residual has the same mean in the long run,
and for the absolute loss it is the kernel estimate of the density of the residuals at zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..losses import Loss

__all__ = ["bending", "window", "windows"]

# Nodes of the integral over a window: the integrand bends sharply where the core of a loss is narrow.
_NODES = 64


def window(
    loss: Loss, residual: NDArray[np.float64], copies: NDArray[np.float64] | None = None
) -> float | None:
    """Return the half-width of the window for the second derivative of a loss; None where none is needed.

    Parameters
    ----------
    loss : Loss
        The loss.
    residual : ndarray of float, shape (n,)
        Residuals of the rows that count.
    copies : ndarray of float, shape (n,), optional
        How often each of them stands in the table; once if not given.

    Returns
    -------
    float or None
        The bandwidth of Hall and Sheather (1988), in the unit of the residuals.
    """
    if not loss.robust:
        return None
    r = residual if copies is None else np.repeat(residual, copies.astype(np.intp))
    width = float(_bandwidth(loss, r))
    # A core as wide as half the window holds rows enough to average over by themselves.
    return width if not loss.smooth or loss.scale < 0.5 * width else None


def windows(loss: Loss, residual: NDArray[np.float64], copies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the half-width of the window for each of many sets of rows, NaN where none is needed.

    Parameters
    ----------
    loss : Loss
        A robust loss.
    residual, copies : ndarray of float, shape (b, n)
        Residuals, and how often each row stands in the table; rows that do not count stand there 0 times.

    Returns
    -------
    ndarray of float, shape (b,)
        As for `window`.
    """
    times = copies.astype(np.intp)
    total = times.sum(axis=1)
    if (total == total[0]).all():
        width = _bandwidth(loss, np.repeat(residual.ravel(), times.ravel()).reshape(len(times), -1))
    else:
        width = np.array([_bandwidth(loss, np.repeat(r, c)) for r, c in zip(residual, times, strict=True)])
    return np.where(loss.scale < 0.5 * width, width, np.nan) if loss.smooth else width


def bending(
    loss: Loss, r: NDArray[np.float64], width: float | NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return the second derivative of the loss at each residual, averaged over a window if there is one.

    Parameters
    ----------
    loss : Loss
        The loss.
    r : ndarray of float
        Residuals, any shape.
    width : float, ndarray of float or None
        Half-width of the window, as from `window`, or one for each residual. The kernel is a parabola.

    Returns
    -------
    ndarray of float
        Same shape.
    """
    if width is None:
        return loss.curvature(r)
    if not loss.smooth:
        tau = loss.scale if loss.kind == "quantile" else None
        jump = loss.above + 1.0 if tau is None else loss.above * tau + (1.0 - tau)
        return jump * np.where(np.abs(r) <= width, 0.75 * (1.0 - (r / width) ** 2), 0.0) / width
    if loss.kind == "huber":
        low, zero, high = (_below((r + edge) / width) for edge in (-loss.scale, 0.0, loss.scale))
        return (high - zero) + loss.above * (zero - low)
    # By parts it is an integral of the first derivative, which bends less.
    out = np.zeros_like(r)
    for node, weight in zip(*np.polynomial.legendre.leggauss(_NODES), strict=True):
        out -= (1.5 * weight * node / width) * loss.psi(r - width * node)
    return out


def _below(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the parabolic kernel on [-1, 1] that lies below u."""
    u = np.clip(u, -1.0, 1.0)
    return 0.5 + 0.75 * u - 0.25 * u**3


def _bandwidth(loss: Loss, r: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bandwidth for residuals along the last axis."""
    from statistics import NormalDist

    normal, n = NormalDist(), r.shape[-1]
    tau = loss.scale if loss.kind == "quantile" else 0.5
    z = normal.inv_cdf(tau)
    density = normal.pdf(z)
    h = n ** (-1 / 3) * normal.inv_cdf(0.975) ** (2 / 3) * (1.5 * density**2 / (2 * z * z + 1)) ** (1 / 3)
    low, high = max(tau - h, 0.005), min(tau + h, 0.995)
    lower, upper = np.quantile(r, [0.25, 0.75], axis=-1)
    spread = np.minimum(r.std(axis=-1), (upper - lower) / 1.349)
    width = spread * (normal.inv_cdf(high) - normal.inv_cdf(low))
    return np.asarray(np.maximum(width, np.finfo(np.float64).tiny))

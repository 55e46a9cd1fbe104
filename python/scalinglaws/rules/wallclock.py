"""Least wall-clock time of data-parallel training and of DiLoCo."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ._check import Floats, Real, give, numbers, same_shape

__all__ = ["NETWORKS", "Network", "WallClock", "diloco_wallclock"]


@dataclass(frozen=True)
class Network:
    """A network between chips.

    Parameters
    ----------
    bandwidth : float
        Bits per second.
    latency : float
        Seconds.
    """

    bandwidth: float
    latency: float


NETWORKS = MappingProxyType(
    {
        "high": Network(400e9, 1e-4),
        "medium": Network(100e9, 1e-3),
        "low": Network(10e9, 1e-2),
    }
)
"""The archetypes of Charles et al. 2025: 400, 100 and 10 Gbit/s."""


@dataclass(frozen=True, eq=False)
class WallClock:
    """Seconds that a training run takes.

    Parameters
    ----------
    steps : float or ndarray
        Optimizer steps, ``D / B``.
    compute : float or ndarray
        Arithmetic alone; the same for every algorithm.
    data_parallel : float or ndarray
        Total with an all-reduce across datacentres in every step.
    diloco_single : float or ndarray
        Total of DiLoCo with one replica, which sends the outer update on top.
    diloco : float or ndarray
        Total of DiLoCo with `M` replicas; `diloco_single` where `M` is 1.
    """

    steps: Real
    compute: Real
    data_parallel: Real
    diloco_single: Real
    diloco: Real


def diloco_wallclock(
    N: ArrayLike,
    D: ArrayLike,
    B: ArrayLike,
    R: ArrayLike,
    *,
    M: ArrayLike,
    H: ArrayLike,
    Q: ArrayLike = 300e12,
    W0: ArrayLike = 400e9,
    eps0: ArrayLike = 1e-4,
    W1: ArrayLike = 10e9,
    eps1: ArrayLike = 1e-2,
    bits_per_param: ArrayLike = 16,
) -> WallClock:
    """Return the least time of data-parallel training and of DiLoCo.

    Compute takes ``6 N D / (R Q)``. An all-reduce of n bits over r nodes takes at least ``2 n/W (1 - 1/r) +
    eps``. Data-parallel training does one across datacentres in every step; DiLoCo does one within each
    datacentre in every step and one across them every `H` steps (Charles et al. 2025, arXiv:2503.09799,
    appendix A). Streaming DiLoCo takes the same total.

    Parameters
    ----------
    N, D : array_like
        Parameters and training tokens.
    B : array_like
        Global batch size, tokens.
    R : array_like
        Chips in all; more chips pay only with a larger batch.
    M : array_like
        Replicas, one in each datacentre; at most `R`.
    H : array_like
        Inner steps per outer step.
    Q : array_like
        FLOP/s that a chip sustains.
    W0, eps0 : array_like
        Bandwidth (bit/s) and latency (s) within a datacentre; `NETWORKS` holds the paper's archetypes.
    W1, eps1 : array_like
        The same across datacentres.
    bits_per_param : array_like
        Bits sent for each parameter; 16 for bfloat16. The paper leaves the unit of the traffic open.

    Returns
    -------
    WallClock
        Seconds in the broadcast shape.

    Raises
    ------
    ValueError
        If a number is out of range, or there are more replicas than chips.

    Examples
    --------
    >>> time = diloco_wallclock(N=1e9, D=2e10, B=2**20, R=64, M=2, H=30)
    >>> round(time.compute), round(time.data_parallel), round(time.diloco)
    (6250, 66522, 9739)
    """
    above = {"N": N, "D": D, "B": B, "R": R, "Q": Q, "W0": W0, "W1": W1, "bits_per_param": bits_per_param}
    arrays = {name: numbers(name, value, above=0.0) for name, value in above.items()}
    arrays["R"] = numbers("R", R, least=1.0)
    arrays["M"], arrays["H"] = numbers("M", M, least=1.0), numbers("H", H, least=1.0)
    arrays["eps0"], arrays["eps1"] = numbers("eps0", eps0, least=0.0), numbers("eps1", eps1, least=0.0)
    names = list(arrays)
    n = dict(zip(names, same_shape(**arrays), strict=True))
    if np.any(n["M"] > n["R"]):
        raise DataError("M: there cannot be more replicas than chips", "M")
    steps = n["D"] / n["B"]
    compute = 6.0 * n["N"] * n["D"] / (n["R"] * n["Q"])
    traffic = 2.0 * n["N"] * n["bits_per_param"]

    def reduce(share: Floats, bandwidth: str, latency: str) -> Floats:
        """Seconds of one all-reduce; `share` is one over the number of nodes."""
        return np.asarray(traffic / n[bandwidth] * (1.0 - share) + n[latency])

    across = reduce(1.0 / n["R"], "W1", "eps1")
    single = compute + steps * (1.0 + 1.0 / n["H"]) * across
    several = compute + steps * (reduce(n["M"] / n["R"], "W0", "eps0") + across / n["H"])
    return WallClock(
        steps=give(steps),
        compute=give(compute),
        data_parallel=give(np.asarray(compute + steps * across)),
        diloco_single=give(np.asarray(single)),
        diloco=give(np.where(n["M"] == 1.0, single, several)),
    )

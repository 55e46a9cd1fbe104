"""Compound scaling of convolutional networks: how to spend a factor of FLOPs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ._check import Floats, Real, column, give, numbers, same_shape

__all__ = ["CompoundFactors", "NetworkShape", "compound_scaling", "scaled_network"]


@dataclass(frozen=True, eq=False)
class CompoundFactors:
    """Factors by which a network grows.

    Parameters
    ----------
    depth, width, resolution : float or ndarray
        Factors of the number of layers, of channels, and of pixels along one side.
    parameters : float or ndarray
        Factor of the parameters, ``depth * width**2``.
    activations : float or ndarray
        Factor of the activations, ``depth * width * resolution**2``; run time on accelerators follows it.
    flops : float or ndarray
        Factor of the FLOPs, ``depth * width**2 * resolution**2``.
    """

    depth: Real
    width: Real
    resolution: Real
    parameters: Real
    activations: Real
    flops: Real


@dataclass(frozen=True, eq=False)
class NetworkShape:
    """A network that can be built.

    Parameters
    ----------
    depth, width : ndarray of float, shape (stages,)
        Layers and channels of each stage, whole numbers.
    group_width : ndarray of float, shape (stages,), or None
        Channels in a group of the convolutions of each stage.
    resolution : int
        Pixels along one side of the image.
    """

    depth: Floats
    width: Floats
    group_width: Floats | None
    resolution: int


def compound_scaling(
    s: ArrayLike, alpha: ArrayLike = 0.8, *, shares: Sequence[float] | None = None
) -> CompoundFactors:
    """Return how depth, width and resolution share a factor of FLOPs.

    A share e of the factor s goes to each: depth ``s**e_d``, width ``s**(e_w/2)``, resolution ``s**(e_r/2)``,
    with shares that sum to 1. Fast compound scaling (Dollar, Singh and Girshick 2021, arXiv:2103.06877) gives
    `alpha` to the width and half of the rest to each other, so that activations, and with them the run time,
    grow by ``s**(1 - alpha/2)`` only. Uniform scaling has shares of 1/3.

    Parameters
    ----------
    s : array_like
        Factor of the FLOPs.
    alpha : array_like
        Share of the width, from 0 to 1.
    shares : (float, float, float), optional
        Shares of depth, width and resolution, instead of `alpha`; any non-negative numbers, which are divided
        by their sum.

    Returns
    -------
    CompoundFactors
        Factors in the broadcast shape. The width of groups scales like the width.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> fast = compound_scaling(4.0)
    >>> round(fast.depth, 4), round(fast.width, 4), round(fast.resolution, 4), round(fast.activations, 4)
    (1.1487, 1.7411, 1.0718, 2.2974)
    """
    factor = numbers("s", s, above=0.0)
    if shares is None:
        wide = numbers("alpha", alpha, least=0.0, most=1.0)
        factor, wide = same_shape(s=factor, alpha=wide)
        deep = fine = 0.5 * (1.0 - wide)
    else:
        parts = column("shares", shares, n=3, least=0.0)
        if not parts.sum() > 0.0:
            raise DataError("shares must not all be 0", "shares")
        deep, wide, fine = parts / parts.sum()
    return CompoundFactors(
        depth=give(factor**deep),
        width=give(factor ** (0.5 * wide)),
        resolution=give(factor ** (0.5 * fine)),
        parameters=give(factor ** (deep + wide)),
        activations=give(factor ** (deep + 0.5 * wide + fine)),
        flops=give(factor ** (deep + wide + fine)),
    )


def scaled_network(
    factors: CompoundFactors,
    depth: ArrayLike,
    width: ArrayLike,
    resolution: int,
    *,
    group_width: ArrayLike | None = None,
) -> NetworkShape:
    """Apply factors to a network and round to what can be built.

    As in the code that came with the paper, each stage keeps one layer at least, channels come in eights,
    pixels in fours, and groups have 1, 2 or 4 channels or come in eights, too; halves go to the even number.
    So the FLOPs miss the factor slightly. The code goes on to make widths divisible by the group widths,
    which this function leaves to the builder of the blocks.

    Parameters
    ----------
    factors : CompoundFactors
        Factors of one scaling, floats.
    depth, width : array_like, shape (stages,)
        Layers and channels of each stage of the base network.
    resolution : int
        Pixels along one side.
    group_width : array_like, shape (stages,), optional
        Channels in a group.

    Returns
    -------
    NetworkShape
        The scaled network.

    Raises
    ------
    ValueError
        If a number is not positive, or the lengths differ.

    Examples
    --------
    >>> grown = scaled_network(compound_scaling(4.0), depth=[1, 3, 6], width=[48, 104, 240], resolution=224)
    >>> grown.depth.tolist(), grown.width.tolist(), grown.resolution
    ([1.0, 3.0, 7.0], [80.0, 184.0, 416.0], 240)
    """
    scales = [numbers("factors", value) for value in (factors.depth, factors.width, factors.resolution)]
    if any(scale.ndim for scale in scales):
        raise TypeError("factors must be of one scaling, not arrays")
    layers = column("depth", depth, above=0.0)
    channels = column("width", width, n=len(layers), above=0.0)
    side = float(numbers("resolution", resolution, above=0.0))
    groups = None
    if group_width is not None:
        whole = np.maximum(
            1.0, np.rint(column("group_width", group_width, n=len(layers), above=0.0) * scales[1])
        )
        groups = np.where(whole <= 2.0, whole, np.where(whole <= 5.0, 4.0, 8.0 * np.rint(whole / 8.0)))
    return NetworkShape(
        depth=np.maximum(1.0, np.rint(layers * scales[0])),
        width=8.0 * np.maximum(1.0, np.rint(channels * scales[1] / 8.0)),
        group_width=groups,
        resolution=4 * round(side * float(scales[2]) / 4.0),
    )

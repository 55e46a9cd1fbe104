"""Draws as data sets of xarray."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..extras import need

if TYPE_CHECKING:
    from xarray import Dataset

    from ..result import Fit

__all__ = ["to_dataset"]


def to_dataset(fit: Fit, draws: NDArray[np.float64], dims: tuple[str, ...]) -> Dataset:
    """Return draws of the parameters as a data set.

    Parameters
    ----------
    fit : Fit
        The fit.
    draws : ndarray of float, shape (..., q)
        In the order of ``fit.names``.
    dims : tuple of str
        Names of the leading axes.

    Returns
    -------
    xarray.Dataset
        One variable per declared parameter; a grouped one has an axis for the categories of its column.
    """
    xarray = need("xarray", "xarray")
    variables = {}
    coords = {dim: np.arange(size) for dim, size in zip(dims, draws.shape, strict=False)}
    for param in fit.law.params:
        column = fit.law.groups.get(param)
        places = [i for i, name in enumerate(fit.names) if name.partition("[")[0] == param]
        if column is None:
            variables[param] = (dims, draws[..., places[0]])
            continue
        coords[column] = np.array(fit._problem.categories[column])
        variables[param] = ((*dims, column), draws[..., places])
    data: Dataset = xarray.Dataset(variables, coords)
    return data

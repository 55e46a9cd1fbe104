"""What a model has memorised, and how well a cheaper model tells it beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError
from ._check import Real, give

__all__ = ["MemorizationForecast", "MemorizationScore", "memorization", "memorization_forecast"]


@dataclass(frozen=True, eq=False)
class MemorizationScore:
    """How much of a continuation a model reproduces.

    Parameters
    ----------
    score : float or ndarray
        Share of positions where the generated token is the true one.
    memorized : bool or ndarray of bool
        Whether all are.
    """

    score: Real
    memorized: bool | NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MemorizationForecast:
    """How well one model's memorised sequences foretell another's.

    Parameters
    ----------
    precision : float or ndarray
        Share of the sequences foretold that the final model memorised; NaN if none was foretold.
    recall : float or ndarray
        Share of the sequences memorised by the final model that were foretold; NaN if it memorised none.
    """

    precision: Real
    recall: Real


def memorization(gen: ArrayLike, true: ArrayLike) -> MemorizationScore:
    """Return the memorisation score of continuations.

    Biderman et al. 2023 (arXiv:2304.11158) prompt with the first 32 tokens of a training sequence, decode 32
    tokens greedily and compare; memorised means a score of 1.

    Parameters
    ----------
    gen, true : array_like of int, shape (..., n)
        Generated and true tokens; the last axis holds the positions.

    Returns
    -------
    MemorizationScore
        One score for each sequence.

    Raises
    ------
    ValueError
        If the shapes differ or there is no position.
    TypeError
        If the tokens are not whole numbers.

    Examples
    --------
    >>> memorization(gen=[5, 7, 7, 9, 1, 3], true=[5, 7, 8, 9, 1, 4]).score
    0.6666666666666666
    """
    made, truth = _tokens("gen", gen), _tokens("true", true)
    if made.shape != truth.shape or not made.ndim or not made.shape[-1]:
        raise DataError(
            f"gen and true must have one shape with positions last: {made.shape}, {truth.shape}", "gen"
        )
    same = made == truth
    memorized = same.all(axis=-1)
    return MemorizationScore(give(same.mean(axis=-1)), memorized if memorized.ndim else bool(memorized))


def memorization_forecast(pred: ArrayLike, final: ArrayLike) -> MemorizationForecast:
    """Return precision and recall of a prediction of what the final model memorises.

    What a cheaper model has memorised, small or stopped early, serves as the prediction; Biderman et al. 2023
    (arXiv:2304.11158) compare predictors of equal compute and find that checkpoints of the large model do
    better until late in training. Recall matters most.

    Parameters
    ----------
    pred : array_like of bool or 0 and 1, shape (..., n)
        Memorised by the predictor; leading axes are predictors.
    final : array_like of bool or 0 and 1, shape (n,) or (..., n)
        Memorised by the final model.

    Returns
    -------
    MemorizationForecast
        One pair of numbers for each predictor.

    Raises
    ------
    ValueError
        If values are not 0 or 1, or the sequences do not match.

    Examples
    --------
    >>> found = memorization_forecast(pred=[1, 1, 0, 0, 1], final=[1, 0, 0, 1, 1])
    >>> round(found.precision, 4), round(found.recall, 4)
    (0.6667, 0.6667)
    """
    foretold, truth = _flags("pred", pred), _flags("final", final)
    if foretold.shape[-1] != truth.shape[-1]:
        raise DataError(f"pred has {foretold.shape[-1]} sequences, final has {truth.shape[-1]}", "pred")
    both = np.asarray((foretold & truth).sum(axis=-1), np.float64)
    with np.errstate(invalid="ignore"):
        precision = both / foretold.sum(axis=-1)
        recall = both / truth.sum(axis=-1)
    return MemorizationForecast(give(np.asarray(precision)), give(np.asarray(recall)))


def _tokens(name: str, values: ArrayLike) -> NDArray[np.int_]:
    array = np.asarray(values)
    if array.dtype.kind not in "ui":
        raise TypeError(f"{name} must hold token numbers, not {array.dtype}")
    return array


def _flags(name: str, values: ArrayLike) -> NDArray[np.bool_]:
    array = np.asarray(values)
    if array.dtype.kind not in "bui" or not array.ndim or not array.shape[-1]:
        raise DataError(f"{name} must hold True or False (1 or 0) for each sequence", name)
    if array.dtype.kind != "b" and not np.isin(array, (0, 1)).all():
        raise DataError(f"{name} must hold 0 and 1 only", name)
    return array.astype(np.bool_)

"""How many bits of knowledge a model holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ._check import Real, give, numbers, same_shape

__all__ = [
    "NAMES",
    "VALUES",
    "KnowledgeCapacity",
    "bits_stored",
    "knowledge_capacity",
    "knowledge_capacity_chunks",
    "parameters_for_bits",
]

NAMES = 400.0 * 400.0 * 1000.0
"""Number of possible names in the data set bioS: first, middle and last."""

VALUES = 2.0 * (12.0 * 28.0 * 200.0) * 200.0 * 300.0 * 100.0 * 263.0
"""Number of possible attribute values of one person in bioS: about 2**47.6, with one bit for the pronoun."""

_LN2 = math.log(2.0)


@dataclass(frozen=True, eq=False)
class KnowledgeCapacity:
    """Knowledge that a model holds.

    Parameters
    ----------
    R : float or ndarray
        Bits per parameter, at least.
    bits : float or ndarray
        Bits in all, at least.
    R_max : float or ndarray
        Bits per parameter if everything were known perfectly: a model can show a capacity only below it.
    """

    R: Real
    bits: Real
    R_max: Real


def knowledge_capacity(
    N: ArrayLike, P: ArrayLike, p1: ArrayLike, p2: ArrayLike, *, N0: float = NAMES, S0: float = VALUES
) -> KnowledgeCapacity:
    """Return the bits per parameter that a model stores of synthetic biographies.

    ``R = (N log2(N0 / exp(p1)) + N log2(S0 / exp(p2))) / P``, a lower bound (Allen-Zhu and Li 2024,
    arXiv:2404.05405). Their models reach about 2 bits per parameter with 1000 exposures of each item and
    about 1 with 100, as long as `R_max` allows; 8-bit weights keep 2.

    Parameters
    ----------
    N : array_like
        Number of people.
    P : array_like
        Parameters of the model.
    p1 : array_like
        Cross-entropy of a name, summed over its tokens and averaged over people, nats; log N at best.
    p2 : array_like
        Cross-entropy of the values, summed over their tokens and averaged over people, nats; 0 at best.
    N0, S0 : float
        Number of possible names, and of possible values of one person; those of the data set bioS.

    Returns
    -------
    KnowledgeCapacity
        Bits and bits per parameter; negative if the losses are worse than guessing.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> known = knowledge_capacity(N=1e7, P=6e7, p1=np.log(1e7), p2=0.5)
    >>> round(known.R, 4), round(known.R_max, 4)
    (8.4784, 8.5986)
    """
    people, size, name, value = same_shape(
        N=numbers("N", N, above=0.0),
        P=numbers("P", P, above=0.0),
        p1=numbers("p1", p1, least=0.0),
        p2=numbers("p2", p2, least=0.0),
    )
    names, values = numbers("N0", N0, above=0.0), numbers("S0", S0, above=0.0)
    bits = people * ((np.log(names) - name) + (np.log(values) - value)) / _LN2
    best = people * (np.log(names / people) + np.log(values)) / _LN2
    return KnowledgeCapacity(give(bits / size), give(bits), give(best / size))


def knowledge_capacity_chunks(
    N: ArrayLike,
    K: ArrayLike,
    C: ArrayLike,
    D: ArrayLike,
    L: ArrayLike,
    T: ArrayLike,
    P: ArrayLike,
    p1: ArrayLike,
    p2: ArrayLike,
    p3: ArrayLike,
    *,
    N0: float = NAMES,
) -> KnowledgeCapacity:
    """Return the bits per parameter that a model stores of the general data set bioD.

    ``N log2(N0/e^p1) + N K log2(D^C/e^p2) + K D log2(T^L/(D e^p3))`` bits, at least (Allen-Zhu and Li 2024,
    arXiv:2404.05405; this form is not verified against the paper).

    Parameters
    ----------
    N, K : array_like
        Number of people, and of attributes of each.
    C, D, L, T : array_like
        A value has `C` chunks, drawn from `D` possible ones; a chunk has `L` tokens of a vocabulary of `T`.
    P : array_like
        Parameters of the model.
    p1, p2, p3 : array_like
        Cross-entropies of a name, of a value and of a chunk, nats.
    N0 : float
        Number of possible names.

    Returns
    -------
    KnowledgeCapacity
        Bits and bits per parameter.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> one = knowledge_capacity_chunks(N=1e5, K=4, C=2, D=1000, L=3, T=50, P=1e6, p1=11.6, p2=0.3, p3=0.0)
    >>> round(one.R, 3)
    8.879
    """
    given = {"N": N, "K": K, "C": C, "D": D, "L": L, "T": T, "P": P}
    losses = {"p1": p1, "p2": p2, "p3": p3}
    arrays = {name: numbers(name, value, above=0.0) for name, value in given.items()}
    arrays |= {name: numbers(name, value, least=0.0) for name, value in losses.items()}
    people, kinds, chunks, pool, length, vocabulary, size, name, value, chunk = same_shape(**arrays)
    names = float(numbers("N0", N0, above=0.0))

    def total(p1: Real, p2: Real, p3: Real) -> Real:
        nats = people * (math.log(names) - p1) + people * kinds * (chunks * np.log(pool) - p2)
        return (nats + kinds * pool * (length * np.log(vocabulary) - np.log(pool) - p3)) / _LN2

    bits, best = np.asarray(total(name, value, chunk)), np.asarray(total(np.log(people), 0.0, 0.0))
    return KnowledgeCapacity(give(bits / size), give(bits), give(best / size))


def bits_stored(P: ArrayLike, R: ArrayLike = 2.0) -> Real:
    """Return the bits that a model can store.

    Parameters
    ----------
    P : array_like
        Parameters.
    R : array_like
        Bits per parameter: about 2 after 1000 exposures, 1 after 100, 0.7 with 4-bit weights.

    Returns
    -------
    float or ndarray
        Bits.

    Raises
    ------
    ValueError
        If a number is not positive.

    Examples
    --------
    >>> bits_stored(7e9)
    14000000000.0
    """
    size, rate = same_shape(P=numbers("P", P, above=0.0), R=numbers("R", R, above=0.0))
    return give(size * rate)


def parameters_for_bits(bits: ArrayLike, R: ArrayLike = 2.0) -> Real:
    """Return the parameters that a model needs to store some bits.

    Parameters
    ----------
    bits : array_like
        Bits to store.
    R : array_like
        Bits per parameter.

    Returns
    -------
    float or ndarray
        Parameters.

    Raises
    ------
    ValueError
        If a number is not positive.

    Examples
    --------
    >>> parameters_for_bits(14e9)
    7000000000.0
    """
    wanted, rate = same_shape(bits=numbers("bits", bits, least=0.0), R=numbers("R", R, above=0.0))
    if not np.all(np.isfinite(wanted / rate)):
        raise DataError("bits / R is too large for a number", "bits")
    return give(wanted / rate)

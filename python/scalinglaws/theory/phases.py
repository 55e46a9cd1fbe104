"""The 4+3 phases of compute-optimal scaling of one-pass SGD on power-law random features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import Array, Number, broadcast, give, refuse

__all__ = ["ComputeOptimal", "LossTerms", "phase_loss_terms", "theory_4p3_phases"]

# Above this data complexity (1 - 1/sqrt(2)) the SGD noise at a fixed budget grows with the size of the model.
_TURN = 1.0 - np.sqrt(0.5)

_BALANCES = {
    "Ia": "F_pp = F_0",
    "II": "F_pp = F_ac",
    "III": "K_pp = F_ac",
    "Ib": "F_pp = F_0",
    "Ic": "F_pp = F_0",
    "IVa": "K_pp = F_0",
    "IVb": "F_pp = K_pp",
    "none": "",
}


@dataclass(frozen=True, eq=False)
class ComputeOptimal:
    """Exponents of the compute-optimal frontier of power-law random features.

    Parameters
    ----------
    phase : str or ndarray of str
        ``"Ia" "II" "III" "Ib" "Ic" "IVa" "IVb"``, or ``"none"`` where there is no power law.
    eta : float or ndarray
        Exponent of the loss: ``L ~ f**(-eta)`` with f the compute. NaN without a power law.
    xi : float or ndarray
        Exponent of the best size: ``d ~ f**xi``. NaN without a power law.
    balance : str or ndarray of str
        The two terms of :class:`LossTerms` that are of equal order at the optimum.
    """

    phase: str | NDArray[np.str_]
    eta: Number
    xi: Number
    balance: str | NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class LossTerms:
    """Orders of the four terms of the loss, each with its constant set to 1.

    Parameters
    ----------
    F_0 : float or ndarray
        Capacity floor: what d features cannot represent.
    F_pp : float or ndarray
        What can be learnt, but has not been yet.
    F_ac : float or ndarray
        Distortion by the random features; 0 where it is of lower order than the others.
    K_pp : float or ndarray
        Noise of SGD; 0 where it is of lower order than the others.
    """

    F_0: Number
    F_pp: Number
    F_ac: Number
    K_pp: Number

    @property
    def total(self) -> Number:
        """Sum of the four terms."""
        return self.F_0 + self.F_pp + self.F_ac + self.K_pp


def theory_4p3_phases(alpha: ArrayLike, beta: ArrayLike) -> ComputeOptimal:
    r"""Exponents of the compute-optimal loss and model size under one-pass SGD.

    A linear model on d random features of the input is trained by SGD that sees every sample once. Feature j
    has the standard deviation :math:`j^{-\alpha}`, the target has the coefficient :math:`j^{-\beta}` on it.
    The phase says which two parts of the loss meet where a budget of :math:`f = d\,r\,B` (r steps of batch B)
    is spent best.

    Parameters
    ----------
    alpha : array_like
        Data complexity, positive.
    beta : array_like
        Target complexity, any real number. Broadcasts with `alpha`.

    Returns
    -------
    ComputeOptimal
        Phase and exponents (dimensionless), of the broadcast shape.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is not finite, or `alpha` is not positive.

    See Also
    --------
    phase_loss_terms : the terms of the loss that the exponents follow from.

    Notes
    -----
    Power laws exist for :math:`2(\alpha + \beta) > 1` only. Where phases meet their exponents agree, so
    that a point on a boundary may be given to either; one exception is `xi` between ``IVb`` and ``IVa``, at
    :math:`\alpha = 1 - 1/\sqrt{2}`: there the SGD noise at fixed f does not depend on d, and every size
    between the two is equally good. ``Ib`` below :math:`\alpha = 1/4` is a conjecture of the paper, and
    ``Ic`` rests on an assumption about its kernel.

    The table of exponents was not read in the paper. It was derived again from the orders of the four terms,
    and the equations of the model, integrated numerically up to :math:`f = 10^{28}`, approach it in all
    seven phases. They do so slowly and from either side, most slowly for :math:`\alpha < 1/2`: with some
    hundred features a measured exponent may be 0.1 away.

    The two complexities are properties of a spectrum. They are not the exponents of the ``chinchilla`` law.

    References
    ----------
    Paquette, Paquette, Xiao and Pennington 2024, 4+3 Phases of Compute-Optimal Neural Scaling Laws,
    arXiv:2405.15074.

    Examples
    --------
    >>> found = theory_4p3_phases(alpha=0.8, beta=0.3)
    >>> found.phase, round(found.eta, 4), round(found.xi, 4), found.balance
    ('Ia', 0.4615, 0.3846, 'F_pp = F_0')
    >>> theory_4p3_phases([0.2, 0.3, 0.4], 0.8).phase.tolist()
    ['Ic', 'IVa', 'IVa']
    """
    a, b = _complexities(alpha, beta)
    excess = 2.0 * (a + b) - 1.0
    # The branches are evaluated everywhere and chosen afterwards; a denominator may vanish outside its phase.
    with np.errstate(divide="ignore", invalid="ignore"):
        q = 6.0 * a + 4.0 * b - 2.0 - 4.0 * a * b
        s = 2.0 * b - a - 2.0 * a * b
        half = np.full(a.shape, 0.5)
        table: dict[str, tuple[NDArray[np.bool_], Array, Array]] = {
            "none": (excess <= 0.0, np.full(a.shape, np.nan), np.full(a.shape, np.nan)),
            "Ia": ((a >= 0.5) & (b < 0.5), excess / (2.0 * a + 1.0), 1.0 / (2.0 * a + 1.0)),
            "II": ((a >= 0.5) & (b < a), excess / (2.0 * (a + b)), b / (a + b)),
            "III": (a >= 0.5, 1.0 - 1.0 / (4.0 * a), half),
            "Ib": (b <= 0.5, a + b - 0.5, half),
            "Ic": (a < 0.25, 2.0 * a * excess / q, excess / q),
            "IVa": (a > _TURN, a, half),
            "IVb": (np.ones(a.shape, dtype=bool), (1.0 - 2.0 * a) * excess / (2.0 * s), (b - a) / s),
        }
    where = [chosen for chosen, _, _ in table.values()]
    phase = np.select(where, [np.array(name) for name in table], np.array("none"))
    balance = np.select(where, [np.array(_BALANCES[name]) for name in table], np.array(""))
    return ComputeOptimal(
        phase=give(phase),
        eta=give(np.select(where, [eta for _, eta, _ in table.values()])),
        xi=give(np.select(where, [xi for _, _, xi in table.values()])),
        balance=give(balance),
    )


def phase_loss_terms(
    alpha: ArrayLike, beta: ArrayLike, *, d: ArrayLike, r: ArrayLike, batch: ArrayLike = 1.0
) -> LossTerms:
    r"""Orders of the four terms of the loss behind :func:`theory_4p3_phases`.

    Parameters
    ----------
    alpha, beta : array_like
        Data complexity (positive) and target complexity (real), with ``2 * (alpha + beta) > 1``.
    d : array_like
        Number of random features, at least 1.
    r : array_like
        Number of SGD steps, at least 1.
    batch : array_like, default 1
        Samples in a step, at least 1.

    Returns
    -------
    LossTerms
        The terms, of the broadcast shape of all arguments.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is not finite or lies outside its range.

    Notes
    -----
    With :math:`x = \gamma B r`, where the step size :math:`\gamma` is constant for :math:`2\alpha > 1` and
    :math:`d^{2\alpha - 1}` (the largest stable order) otherwise:

    .. math::

        F_0 &\sim d^{-2\alpha + \max(0,\,1 - 2\beta)} \\
        F_{pp} &\sim x^{-(2\alpha + 2\beta - 1)/(2\alpha)} \\
        F_{ac} &\sim x^{-1 + 1/(2\alpha)} / d, \quad 2\alpha > 1,\ 2\beta > 1 \\
        K_{pp} &\sim \gamma\, x^{-2 + 1/(2\alpha)}, \quad \alpha > 1/4

    All constants are 1: differences of exponents mean something, a sum at small d or r does not.

    References
    ----------
    Paquette et al. 2024, arXiv:2405.15074.

    Examples
    --------
    >>> terms = phase_loss_terms(0.8, 0.3, d=[10.0, 1000.0], r=1e4)
    >>> terms.F_0.round(4)
    array([0.0631, 0.0003])
    >>> terms.F_pp.round(6), terms.F_ac.round(6)
    (array([0.001, 0.001]), array([0., 0.]))
    """
    a, b = _complexities(alpha, beta)
    a, b, size, steps, samples = broadcast(alpha=a, beta=b, d=d, r=r, batch=batch)
    refuse(2.0 * (a + b) <= 1.0, "alpha", a, "needs 2 * (alpha + beta) > 1")
    for name, array in {"d": size, "r": steps, "batch": samples}.items():
        refuse(~np.isfinite(array) | (array < 1.0), name, array, "must be finite and at least 1")
    step = np.where(a < 0.5, size ** (2.0 * a - 1.0), 1.0)
    x = step * samples * steps
    distorted = (a > 0.5) & (b > 0.5)
    noisy = a > 0.25
    return LossTerms(
        F_0=give(size ** (-2.0 * a + np.maximum(0.0, 1.0 - 2.0 * b))),
        F_pp=give(x ** (-(2.0 * (a + b) - 1.0) / (2.0 * a))),
        F_ac=give(np.where(distorted, x ** (-1.0 + 0.5 / a) / size, 0.0)),
        K_pp=give(np.where(noisy, step * x ** (-2.0 + 0.5 / a), 0.0)),
    )


def _complexities(alpha: ArrayLike, beta: ArrayLike) -> tuple[Array, Array]:
    a, b = broadcast(alpha=alpha, beta=beta)
    refuse(~np.isfinite(a) | (a <= 0.0), "alpha", a, "must be positive and finite")
    refuse(~np.isfinite(b), "beta", b, "must be finite")
    return a, b

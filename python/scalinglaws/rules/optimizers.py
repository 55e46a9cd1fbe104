"""How settings of an optimiser move with the batch size: pure functions of numbers or arrays.

`kappa` is always the new batch size over the old one. The number of samples seen stays the same, so a
run has `kappa` times fewer steps, and its schedule must be stated in samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ._check import Floats, Real, give, numbers, same_shape

__all__ = [
    "AdamSettings",
    "RMSpropSettings",
    "scaling_rule_adam",
    "scaling_rule_beta2",
    "scaling_rule_ema",
    "scaling_rule_rmsprop",
    "scaling_rule_sgd",
    "scaling_rule_weight_decay",
]


@dataclass(frozen=True, eq=False)
class AdamSettings:
    """Settings of Adam.

    Parameters
    ----------
    lr : float or ndarray
        Learning rate.
    beta1, beta2 : float or ndarray
        Decay of the first and of the second moment per step.
    eps : float or ndarray
        Term added to the root of the second moment.
    """

    lr: Real
    beta1: Real
    beta2: Real
    eps: Real


@dataclass(frozen=True, eq=False)
class RMSpropSettings:
    """Settings of RMSprop.

    Parameters
    ----------
    lr : float or ndarray
        Learning rate.
    beta : float or ndarray
        Decay of the second moment per step.
    eps : float or ndarray
        Term added to the root of the second moment.
    """

    lr: Real
    beta: Real
    eps: Real


def scaling_rule_sgd(
    lr: ArrayLike, kappa: ArrayLike, *, B_old: ArrayLike | None = None, B_noise: ArrayLike | None = None
) -> Real:
    """Return the learning rate of SGD after a change of the batch size.

    The rate grows in proportion to the batch (Goyal et al. 2017, arXiv:1706.02677) as long as the batch is
    far below the noise scale. With the noise scale it saturates there: ``lr * (1 + B_noise/B_old) / (1 +
    B_noise/B_new)``, which follows from the law ``noise_scale_lr`` (McCandlish et al. 2018,
    arXiv:1812.06162). Momentum stays as it is.

    Parameters
    ----------
    lr : array_like
        Old learning rate.
    kappa : array_like
        New batch size over the old one.
    B_old, B_noise : array_like, optional
        Old batch size and noise scale, in one unit; give both or neither.

    Returns
    -------
    float or ndarray
        New learning rate.

    Raises
    ------
    ValueError
        If a number is not positive, or only one of `B_old` and `B_noise` is given.

    Examples
    --------
    >>> scaling_rule_sgd(0.1, 4.0)
    0.4
    >>> scaling_rule_sgd(0.1, 4.0, B_old=256, B_noise=1024)
    0.25
    """
    rate, factor = _positive(lr=lr, kappa=kappa)
    if (B_old is None) != (B_noise is None):
        raise ValueError("B_old and B_noise belong together: give both, or neither for the linear rule")
    if B_old is None or B_noise is None:
        return give(rate * factor)
    old, noise = _positive(B_old=B_old, B_noise=B_noise)
    rate, factor, old, noise = same_shape(lr=rate, kappa=factor, B_old=old, B_noise=noise)
    return give(rate * (1.0 + noise / old) / (1.0 + noise / (factor * old)))


def scaling_rule_adam(
    lr: ArrayLike, beta1: ArrayLike, beta2: ArrayLike, eps: ArrayLike, kappa: ArrayLike
) -> AdamSettings:
    """Return the settings of Adam after a change of the batch size: the square-root rule.

    The rate is multiplied by the root of `kappa`, the two ``1 - beta`` by `kappa`, and `eps` is divided by
    the root (Malladi et al. 2022, arXiv:2205.10287, from the stochastic differential equation of Adam).
    For weight decay see `scaling_rule_weight_decay`.

    Parameters
    ----------
    lr : array_like
        Old learning rate.
    beta1, beta2 : array_like
        Old decay constants, from 0 to below 1.
    eps : array_like
        Old term added to the root of the second moment; may be 0.
    kappa : array_like
        New batch size over the old one.

    Returns
    -------
    AdamSettings
        New settings.

    Raises
    ------
    ValueError
        If ``kappa * (1 - beta)`` reaches 1, where the continuous-time view behind the rule has broken down,
        or a number lies outside its range.

    Examples
    --------
    >>> new = scaling_rule_adam(lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, kappa=4)
    >>> new.lr, round(new.beta1, 6), round(new.beta2, 6), new.eps
    (0.002, 0.6, 0.996, 5e-09)
    """
    rate, factor = _positive(lr=lr, kappa=kappa)
    return AdamSettings(
        lr=give(rate * np.sqrt(factor)),
        beta1=_moment("beta1", beta1, factor),
        beta2=_moment("beta2", beta2, factor),
        eps=give(numbers("eps", eps, least=0.0) / np.sqrt(factor)),
    )


def scaling_rule_rmsprop(lr: ArrayLike, beta: ArrayLike, eps: ArrayLike, kappa: ArrayLike) -> RMSpropSettings:
    """Return the settings of RMSprop after a change of the batch size.

    The square-root rule of `scaling_rule_adam` without the first moment (Malladi et al. 2022,
    arXiv:2205.10287).

    Parameters
    ----------
    lr : array_like
        Old learning rate.
    beta : array_like
        Old decay constant of the second moment, from 0 to below 1.
    eps : array_like
        Old term added to the root of the second moment; may be 0.
    kappa : array_like
        New batch size over the old one.

    Returns
    -------
    RMSpropSettings
        New settings.

    Raises
    ------
    ValueError
        As for `scaling_rule_adam`.

    Examples
    --------
    >>> new = scaling_rule_rmsprop(lr=1e-3, beta=0.99, eps=1e-8, kappa=4)
    >>> new.lr, round(new.beta, 6), new.eps
    (0.002, 0.96, 5e-09)
    """
    rate, factor = _positive(lr=lr, kappa=kappa)
    return RMSpropSettings(
        lr=give(rate * np.sqrt(factor)),
        beta=_moment("beta", beta, factor),
        eps=give(numbers("eps", eps, least=0.0) / np.sqrt(factor)),
    )


def scaling_rule_ema(rho: ArrayLike, kappa: ArrayLike) -> Real:
    """Return the momentum of a weight average after a change of the batch size.

    ``rho**kappa`` keeps the span of the average constant in samples (Busbridge et al. 2023,
    arXiv:2307.13813); to first order ``1 - rho`` is multiplied by `kappa`. It goes together with the rule of
    the optimiser.

    Parameters
    ----------
    rho : array_like
        Old momentum per step, between 0 and 1.
    kappa : array_like
        New batch size over the old one.

    Returns
    -------
    float or ndarray
        New momentum per step.

    Raises
    ------
    ValueError
        If a number lies outside its range.

    Examples
    --------
    >>> round(scaling_rule_ema(0.9999, 8), 8)
    0.99920028
    """
    return give(numbers("rho", rho, above=0.0, below=1.0) ** _positive(kappa=kappa)[0])


def scaling_rule_beta2(beta2: ArrayLike, kappa: ArrayLike) -> Real:
    """Return the beta2 of Adam whose memory of squared gradients spans as many tokens as before.

    ``beta2**kappa`` (Marek et al. 2025, arXiv:2507.07101): the half-life ``B ln(1/2) / ln(beta2)`` does not
    change. To first order this is the beta2 of `scaling_rule_adam`, but it never turns negative.

    Parameters
    ----------
    beta2 : array_like
        Old decay of the second moment per step, between 0 and 1.
    kappa : array_like
        New batch size over the old one.

    Returns
    -------
    float or ndarray
        New decay per step.

    Raises
    ------
    ValueError
        If a number lies outside its range.

    Examples
    --------
    >>> round(scaling_rule_beta2(0.95, 1 / 8), 6)
    0.993609
    """
    return give(numbers("beta2", beta2, above=0.0, below=1.0) ** _positive(kappa=kappa)[0])


def scaling_rule_weight_decay(
    wd: ArrayLike,
    kappa: ArrayLike = 1.0,
    r_lr: ArrayLike = 1.0,
    r_D: ArrayLike = 1.0,
    *,
    m: float = 0.0,
    r_N: ArrayLike = 1.0,
) -> Real:
    """Return the weight decay of AdamW that keeps, or moves as it should, its averaging time.

    The averaging time as a share of the run is ``tau = B / (lr * wd * D)``. With ``m = 0`` it stays constant
    (Wang and Aitchison 2024, arXiv:2405.13698, training of several epochs); with ``m = -0.527`` it follows
    ``tau ~ (D/N)**m`` (Bergsma et al. 2025, arXiv:2505.13738, one epoch). A recipe whose rate grows as the
    root of the batch has ``r_lr = sqrt(kappa)``, hence a weight decay that grows as the root, too.

    Parameters
    ----------
    wd : array_like
        Old weight decay, decoupled from the gradient.
    kappa : array_like
        New batch size over the old one.
    r_lr, r_D, r_N : array_like
        New over old learning rate, training tokens, and parameters.
    m : float
        Exponent of the averaging time in tokens per parameter.

    Returns
    -------
    float or ndarray
        New weight decay.

    Raises
    ------
    ValueError
        If a number is not positive.

    Examples
    --------
    >>> scaling_rule_weight_decay(0.1, kappa=4, r_lr=2)
    0.2
    >>> round(scaling_rule_weight_decay(0.1, r_D=2, m=-0.527), 6)
    0.072046
    """
    old = numbers("wd", wd, least=0.0)
    factor, rate, tokens, size = _positive(kappa=kappa, r_lr=r_lr, r_D=r_D, r_N=r_N)
    exponent = float(numbers("m", m))
    same_shape(wd=old, kappa=factor, r_lr=rate, r_D=tokens, r_N=size)
    return give(old * factor / (rate * tokens) * (tokens / size) ** -exponent)


def _positive(**values: ArrayLike) -> list[Floats]:
    arrays = {name: numbers(name, value, above=0.0) for name, value in values.items()}
    same_shape(**arrays)
    return list(arrays.values())


def _moment(name: str, beta: ArrayLike, kappa: Floats) -> Real:
    old = numbers(name, beta, least=0.0, below=1.0)
    old, factor = same_shape(**{name: old, "kappa": kappa})
    change = factor * (1.0 - old)
    if np.any(change >= 1.0):
        worst = np.unravel_index(int(np.argmax(change)), change.shape)
        raise DataError(
            f"kappa * (1 - {name}) must stay below 1, not {change[worst]:g}: at {name} = {old[worst]:g} the "
            f"rule holds for kappa below {1.0 / (1.0 - old[worst]):g}",
            name,
        )
    return give(1.0 - change)

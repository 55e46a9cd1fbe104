"""Second-order dual numbers with an extended exponent, over arrays.

A `Dual` is a number per row together with its first and second derivatives by p variables. Arithmetic on
duals carries exact derivatives (no step size), and each row keeps its own exponent, so that sums of
exponentials neither overflow nor vanish before their logarithm is taken: the number is ``exp(s) * v``, with
derivatives ``exp(s) * g`` and ``exp(s) * h``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = ["FUNCTIONS", "Dual"]

Array: TypeAlias = NDArray[np.float64]

# exp() keeps its result in plain numbers up to this argument; beyond, the argument becomes the row's
# exponent. Ordinary rows are then computed exactly as NumPy computes them.
_SAFE = 300.0
_BIG = 1e130
_LOG2, _LOG10 = math.log(2.0), math.log(10.0)


class Dual:
    """Numbers with derivatives, one per row.

    Parameters
    ----------
    v : ndarray, shape (n,) or (1,)
        Values.
    g : ndarray, shape (n, p) or (1, p), optional
        First derivatives; None means zero.
    h : ndarray, shape (n, p, p) or (1, p, p), optional
        Second derivatives; None means zero.
    s : ndarray, shape (n,) or (1,), optional
        Exponents; None means zero.
    """

    __slots__ = ("g", "h", "s", "v")

    def __init__(
        self, v: Array, g: Array | None = None, h: Array | None = None, s: Array | None = None
    ) -> None:
        self.v, self.g, self.h, self.s = v, g, h, s

    @classmethod
    def constant(cls, value: float) -> Dual:
        """Return a number that depends on nothing."""
        return cls(np.array([value]))

    @classmethod
    def variable(cls, value: Array, index: int, count: int) -> Dual:
        """Return variable `index` of `count`."""
        g = np.zeros((1, count))
        g[0, index] = 1.0
        return cls(value, g)

    def plain(self) -> Dual:
        """Return the same number with exponent 0; it may overflow to infinity."""
        if self.s is None:
            return self
        factor = np.exp(self.s)
        return Dual(_times(factor, self.v), _rows(factor, self.g), _rows(factor, self.h))

    def __neg__(self) -> Dual:
        return Dual(-self.v, None if self.g is None else -self.g, None if self.h is None else -self.h, self.s)

    def __add__(self, other: Dual) -> Dual:
        a, b, s = _aligned(self, other)
        return Dual(a.v + b.v, _plus(a.g, b.g), _plus(a.h, b.h), s)

    def __sub__(self, other: Dual) -> Dual:
        return self + (-other)

    def __mul__(self, other: Dual) -> Dual:
        a, b = self, other
        g = _plus(_rows(a.v, b.g), _rows(b.v, a.g))
        h = _plus(_plus(_rows(a.v, b.h), _rows(b.v, a.h)), _cross(a.g, b.g))
        return _settled(Dual(a.v * b.v, g, h, _plus(a.s, b.s)))

    def __truediv__(self, other: Dual) -> Dual:
        a, b = self, other
        one = 1.0 / b.v
        v = a.v / b.v
        g = _plus(_rows(one, a.g), _rows(-v * one, b.g))
        h = _plus(_plus(_rows(one, a.h), _rows(-v * one, b.h)), _rows(-one, _cross(g, b.g)))
        return _settled(Dual(v, g, h, _plus(a.s, None if b.s is None else -b.s)))

    def __pow__(self, other: Dual) -> Dual:
        if other.g is None:
            return self._constant_power(other.plain().v)
        p = other.plain()
        t = p * self.log()
        out = t.exp()
        if self.s is None:
            # The rounding of p * log(x) grows with its size; NumPy's own power does not suffer from it.
            direct = np.power(self.v, p.v)
            ordinary = ~(np.abs(t.v) > _SAFE)
            if out.s is None:
                out.v = np.where(ordinary, direct, out.v)
            else:
                out.v = np.where(ordinary & (out.s == 0.0), direct, out.v)
        at_zero = (self.v == 0.0) & (p.v > 1.0 if self.g is not None else p.v > 0.0)
        if at_zero.any():
            keep = np.where(at_zero, 0.0, 1.0)
            out = Dual(_times(keep, out.v), _rows(keep, out.g), _rows(keep, out.h), out.s)
        return out

    def _constant_power(self, c: Array) -> Dual:
        v = self.v
        t = c * np.log(np.abs(v))
        large = np.isfinite(t) & (np.abs(t) > _SAFE)
        p0, p1, p2 = np.power(v, c), np.power(v, c - 1.0), np.power(v, c - 2.0)
        shift = _times(c, self.s) if self.s is not None else None
        if large.any():
            sign = np.sign(np.power(np.sign(v), c))  # nan for a negative base under a power that is not whole
            p0, p1, p2 = (np.where(large, sign / v**k, p) for k, p in enumerate((p0, p1, p2)))
            shift = _plus(np.where(large, t, 0.0), shift)
        g = _rows(_times(c, p1), self.g)
        h = _plus(
            _rows(_times(c, p1), self.h), _rows(_times(0.5 * c * (c - 1.0), p2), _cross(self.g, self.g))
        )
        return _settled(Dual(p0, g, h, shift))

    def exp(self) -> Dual:
        """Return e to the power of the number."""
        x = self.plain()
        large = np.isfinite(x.v) & (np.abs(x.v) > _SAFE)
        s = np.where(large, x.v, 0.0) if large.any() else None
        v = np.exp(x.v if s is None else x.v - s)
        h = _plus(x.h, _half_cross(x.g))
        return Dual(v, _rows(v, x.g), _rows(v, h), s)

    def log(self) -> Dual:
        """Return the natural logarithm."""
        one = 1.0 / self.v
        g = _rows(one, self.g)
        h = _plus(_rows(one, self.h), _rows(np.array([-1.0]), _half_cross(g)))
        v = np.log(self.v)
        return Dual(v if self.s is None else v + self.s, g, h)

    def chain(self, f: Array, d1: Array, d2: Array) -> Dual:
        """Return f(x) from the values of f and its two derivatives; `self` must have exponent 0."""
        return Dual(f, _rows(d1, self.g), _plus(_rows(d1, self.h), _rows(d2, _half_cross(self.g))))


def _times(a: Array, b: Array) -> Array:
    """Multiply, where a factor that is exactly 0 wins over an infinite one."""
    return np.where((a == 0.0) | (b == 0.0), 0.0, a * b)


def _rows(factor: Array, x: Array | None) -> Array | None:
    """Scale the rows of derivatives; a factor that is exactly 0 wins over an infinite derivative."""
    if x is None:
        return None
    factor = factor.reshape(factor.shape + (1,) * (x.ndim - 1))
    out = factor * x
    return np.where((factor == 0.0) | (x == 0.0), 0.0, out) if not np.isfinite(out).all() else out


def _plus(a: Array | None, b: Array | None) -> Array | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _cross(a: Array | None, b: Array | None) -> Array | None:
    """Return a_i b_j + a_j b_i."""
    if a is None or b is None:
        return None
    outer = a[:, :, None] * b[:, None, :]
    return outer + outer.transpose(0, 2, 1)


def _half_cross(a: Array | None) -> Array | None:
    return None if a is None else a[:, :, None] * a[:, None, :]


def _settled(x: Dual) -> Dual:
    """Move a value that is far from 1 into the exponent, before a product of several leaves the range."""
    size = np.abs(x.v)
    far = np.isfinite(size) & ((size > _BIG) | ((size < 1.0 / _BIG) & (size > 0.0)))
    if not far.any():
        return x
    t = np.where(far, np.log(np.where(far, size, 1.0)), 0.0)
    factor = np.exp(-t)
    return Dual(x.v * factor, _rows(factor, x.g), _rows(factor, x.h), t if x.s is None else x.s + t)


def _aligned(a: Dual, b: Dual) -> tuple[Dual, Dual, Array | None]:
    """Bring two numbers to the larger of their exponents."""
    if a.s is None and b.s is None:
        return a, b, None
    sa = np.zeros(1) if a.s is None else a.s
    sb = np.zeros(1) if b.s is None else b.s
    # A plain 0 has no size of its own: it must not decide the exponent.
    s = np.where(_nothing(a), sb, np.where(_nothing(b), sa, np.maximum(sa, sb)))
    out = []
    for x, own in ((a, sa), (b, sb)):
        factor = np.where(_nothing(x), 1.0, np.exp(own - s))
        out.append(Dual(x.v * factor, _rows(factor, x.g), _rows(factor, x.h)))
    return out[0], out[1], s


def _nothing(x: Dual) -> Array:
    return (x.v == 0.0) if x.g is None else np.zeros(1, dtype=np.bool_)


def _log1p(x: Dual) -> Dual:
    if x.s is not None:
        return (x + Dual.constant(1.0)).log()
    one = 1.0 / (1.0 + x.v)
    return x.chain(np.log1p(x.v), one, -one * one)


def _expm1(x: Dual) -> Dual:
    out = x.exp()
    if out.s is not None:
        return out - Dual.constant(1.0)
    return Dual(np.expm1(x.plain().v), out.g, out.h)


def _abs(x: Dual) -> Dual:
    sign = np.sign(x.v)
    return Dual(np.abs(x.v), _rows(sign, x.g), _rows(sign, x.h), x.s)


def _sin(x: Dual) -> Dual:
    x = x.plain()
    s, c = np.sin(x.v), np.cos(x.v)
    return x.chain(s, c, -s)


def _cos(x: Dual) -> Dual:
    x = x.plain()
    s, c = np.sin(x.v), np.cos(x.v)
    return x.chain(c, -s, -c)


def _tan(x: Dual) -> Dual:
    x = x.plain()
    t = np.tan(x.v)
    d1 = 1.0 + t * t
    return x.chain(t, d1, 2.0 * t * d1)


def _atan(x: Dual) -> Dual:
    x = x.plain()
    d1 = 1.0 / (1.0 + x.v * x.v)
    return x.chain(np.arctan(x.v), d1, _times(-2.0 * x.v, d1 * d1))


def _tanh(x: Dual) -> Dual:
    x = x.plain()
    t = np.tanh(x.v)
    d1 = np.cosh(np.clip(x.v, -350.0, 350.0)) ** -2.0  # 1 - t^2 cancels
    return x.chain(t, d1, -2.0 * t * d1)


def _sigmoid(x: Dual) -> Dual:
    one = Dual.constant(1.0)
    return one / (one + (-x).exp())


def _softplus(x: Dual) -> Dual:
    x = x.plain()
    d1, rest = special.expit(x.v), special.expit(-x.v)
    return x.chain(np.logaddexp(0.0, x.v), d1, d1 * rest)


def _erf(x: Dual) -> Dual:
    x = x.plain()
    d1 = 2.0 / math.sqrt(math.pi) * np.exp(-x.v * x.v)
    return x.chain(special.erf(x.v), d1, _times(-2.0 * x.v, d1))


def _normcdf(x: Dual) -> Dual:
    x = x.plain()
    d1 = np.exp(-0.5 * x.v * x.v) / math.sqrt(2.0 * math.pi)
    return x.chain(special.ndtr(x.v), d1, _times(-x.v, d1))


def _choice(smaller: bool) -> Callable[..., Dual]:
    def choose(*args: Dual) -> Dual:
        out = args[0]
        for other in args[1:]:
            difference = (other - out).v
            # On a tie the first argument stays, and with it its derivatives.
            other_wins = difference < 0.0 if smaller else difference > 0.0
            undefined = np.isnan(out.v) | np.isnan(other.v)
            out = _select(other_wins, undefined, other, out)
        return out

    return choose


def _select(first: NDArray[np.bool_], undefined: NDArray[np.bool_], a: Dual, b: Dual) -> Dual:
    v = np.where(undefined, np.nan, np.where(first, a.v, b.v))
    s = None
    if a.s is not None or b.s is not None:
        s = np.where(first, 0.0 if a.s is None else a.s, 0.0 if b.s is None else b.s)
    parts: list[Array | None] = []
    for left, right in ((a.g, b.g), (a.h, b.h)):
        if left is None and right is None:
            parts.append(None)
            continue
        mask = first.reshape(first.shape + (1,) * ((left if left is not None else right).ndim - 1))  # type: ignore[union-attr]
        parts.append(np.where(mask, 0.0 if left is None else left, 0.0 if right is None else right))
    return Dual(v, parts[0], parts[1], s)


FUNCTIONS: dict[str, Callable[..., Dual]] = {
    "exp": Dual.exp,
    "log": Dual.log,
    "log2": lambda x: x.log() * Dual.constant(1.0 / _LOG2),
    "log10": lambda x: x.log() * Dual.constant(1.0 / _LOG10),
    "log1p": _log1p,
    "expm1": _expm1,
    "sqrt": lambda x: x ** Dual.constant(0.5),
    "abs": _abs,
    "sin": _sin,
    "cos": _cos,
    "tan": _tan,
    "atan": _atan,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "erf": _erf,
    "normcdf": _normcdf,
    "min": _choice(smaller=True),
    "max": _choice(smaller=False),
}

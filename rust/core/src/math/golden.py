"""Write ``golden.txt``: correctly rounded values of the functions in this module, for its tests.

Each line holds the name of a function, the argument, the correctly rounded value (both as the hexadecimal
bits of a double), and how far the exact value lies above the rounded one, in units in the last place.

Run ``python golden.py``; it needs mpmath. The points are fixed by a seed, so the file changes only with this
script.
"""

import math
import random
import struct
from collections.abc import Callable
from pathlib import Path

import mpmath as mp

mp.mp.prec = 4000
RANDOM = 60  # random points for each range


def bits(x: float) -> str:
    """Return the bits of a double in hexadecimal."""
    return struct.pack(">d", x).hex()


def nearest(exact: mp.mpf) -> tuple[float, mp.mpf]:
    """Return the double nearest to ``exact``, which may be infinity, and its unit in the last place."""
    if exact == 0:
        return 0.0, mp.mpf(2) ** -1074
    _, exponent = mp.frexp(exact)
    ulp = mp.mpf(2) ** max(int(exponent) - 53, -1074)
    rounded = mp.nint(exact / ulp) * ulp
    return (float(rounded) if abs(rounded) < mp.mpf(2) ** 1024 else math.copysign(math.inf, rounded)), ulp


def sigmoid(x: mp.mpf) -> mp.mpf:
    """Return the logistic function."""
    return 1 / (1 + mp.exp(-x))


def log1p(x: mp.mpf) -> mp.mpf:
    """Return ``log(1 + x)``; the working precision covers every double."""
    return mp.log(1 + x)


def softplus(x: mp.mpf) -> mp.mpf:
    """Return ``log(1 + exp(x))``."""
    return mp.log(1 + mp.exp(x))


def normcdf(x: mp.mpf) -> mp.mpf:
    """Return the distribution function of the standard normal distribution."""
    return mp.erfc(-x / mp.sqrt(2)) / 2


def normpdf(x: mp.mpf) -> mp.mpf:
    """Return the density of the standard normal distribution."""
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def expm1(x: mp.mpf) -> mp.mpf:
    """Return ``exp(x) - 1``; the working precision covers every double."""
    return mp.exp(x) - 1


# Function, ranges of uniform points, ranges of binary exponents with the signs to draw, special points.
CASES: dict[
    str, tuple[Callable[[mp.mpf], mp.mpf], list[tuple[float, float]], list[tuple[int, int, str]], list[float]]
] = {
    "exp": (
        mp.exp,
        [(-745.2, 709.8), (-745.2, -708.0), (-1.0, 1.0)],
        [(-60, 6, "+-")],
        [-745.1, -745.2, -708.39, 709.78, 709.782712893384, 709.79, 1.0, -1.0],
    ),
    "expm1": (
        expm1,
        [(-40.0, 709.8), (-1.0, 1.0)],
        [(-60, 4, "+-")],
        [1e-20, 709.782712893384, -37.5, 1e-300],
    ),
    "log": (
        mp.log,
        [(0.5, 2.0), (0.9, 1.1)],
        [(-1074, 1023, "+"), (-1074, -1022, "+")],
        [2.0**-1074, 10.0, 2.0**1023],
    ),
    "log1p": (
        log1p,
        [(-1.0, 1.0), (-0.1, 0.1)],
        [(-60, -1, "+-"), (0, 1023, "+")],
        [1e-20, -0.9999999999999999, 2.0**1023],
    ),
    "tanh": (mp.tanh, [(-20.0, 20.0), (-1.0, 1.0)], [(-60, 4, "+-")], [1e-20, 0.5, 19.0]),
    "sigmoid": (sigmoid, [(-745.2, 40.0), (-5.0, 5.0)], [(-60, 8, "+-")], [-710.0, -745.1, 36.8]),
    "softplus": (softplus, [(-745.2, 40.0), (-5.0, 5.0)], [(-60, 8, "+-")], [-710.0, -745.1, 36.8, 1e300]),
    "erf": (mp.erf, [(-6.0, 6.0)], [(-60, 2, "+-")], [0.5, 1e-20]),
    "normcdf": (normcdf, [(-38.5, 8.0), (-3.0, 3.0)], [(-60, 2, "+-")], [-38.4, -38.0, -37.5, -20.0, -1.0]),
    "normpdf": (normpdf, [(-38.5, 38.5), (-3.0, 3.0)], [(-60, 2, "+-")], [-38.5, -37.5, 0.5]),
}


def points(
    generator: random.Random, uniform: list[tuple[float, float]], binary: list[tuple[int, int, str]]
) -> list[float]:
    """Draw the random points of one function."""
    drawn = [generator.uniform(low, high) for low, high in uniform for _ in range(RANDOM)]
    for low, high, signs in binary:
        for _ in range(RANDOM):
            size = math.ldexp(1.0 + generator.random(), generator.randint(low, high))
            drawn.append(size if signs == "+" else size * generator.choice([-1.0, 1.0]))
    return [x for x in drawn if math.isfinite(x) and x != 0]


def main() -> None:
    """Write the file next to this script."""
    lines = []
    for name, (function, uniform, binary, special) in CASES.items():
        generator = random.Random(name)
        for x in special + points(generator, uniform, binary):
            exact = function(mp.mpf(x))
            rounded, ulp = nearest(exact)
            above = 0.0 if math.isinf(rounded) else float((exact - mp.mpf(rounded)) / ulp)
            lines.append(f"{name} {bits(x)} {bits(rounded)} {above:+.3f}")
    Path(__file__).with_name("golden.txt").write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()

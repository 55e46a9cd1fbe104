"""Write `directions.txt` and `golden.txt` from the table that SciPy packages.

Run with any SciPy since 1.7, from anywhere: `python generate.py`. Both outputs are committed; they change
only if the number of dimensions or the choice of reference values below does.
"""

from pathlib import Path

import numpy as np
import scipy.stats
from numpy.typing import NDArray
from scipy.stats import qmc

HERE = Path(__file__).parent
DIMENSIONS = 256
BITS = 53
POINTS = 64
SCRAMBLED = [
    (seed, index, dimension)
    for seed, index in ((0, 0), (12345, 1000), (2**64 - 1, 2**40 + 7))
    for dimension in (1, 2, 101, 256, 258)
]
GOLDEN_DIMENSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 13, 40, 99, 128, 200, 255, 256)

DIRECTIONS_HEADER = f"""\
# Primitive polynomials and initial direction numbers of the Sobol sequence, dimensions 2 to {DIMENSIONS}.
# Source: S. Joe and F. Y. Kuo, "Constructing Sobol sequences with better two-dimensional projections",
# SIAM J. Sci. Comput. 30, 2635-2654 (2008); their table new-joe-kuo-6.21201,
# https://web.maths.unsw.edu.au/~fkuo/sobol/, copyright 2008 Frances Y. Kuo and Stephen Joe (BSD licence),
# as packaged in scipy/stats/_sobol_direction_numbers.npz. Written by generate.py.
# Columns as in that table: dimension, degree s, inner coefficients a of the polynomial, m_1 ... m_s.
"""

GOLDEN_HEADER = f"""\
# Reference values of scipy.stats.qmc.Sobol(scramble=False). Written by generate.py.
# checksum: all {BITS} direction numbers of {BITS} bits of dimensions 1 to {DIMENSIONS} in order, folded as
# h = h * 6364136223846793005 + v modulo 2^64, from h = 0.
# scrambled: seed, index, dimension, coordinate times 2^{BITS}, from the definition of nested scrambling with
# the bits of numpy.random.Philox; beyond dimension {DIMENSIONS} the coordinate is one of its words.
# other lines: dimension, then its coordinate of the first {POINTS} points, times {POINTS}.
"""


def directions() -> str:
    """Return the table of polynomials and initial numbers."""
    packaged = np.load(Path(scipy.stats.__file__).parent / "_sobol_direction_numbers.npz")
    lines = []
    for dimension in range(2, DIMENSIONS + 1):
        polynomial = int(packaged["poly"][dimension - 1])
        degree = polynomial.bit_length() - 1
        inner = (polynomial >> 1) & ((1 << (degree - 1)) - 1)
        initial = packaged["vinit"][dimension - 1][:degree]
        lines.append(" ".join(str(int(value)) for value in (dimension, degree, inner, *initial)))
    return DIRECTIONS_HEADER + "\n".join(lines) + "\n"


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> int:
    """Return a block of 256 random bits, the first word lowest."""
    generator = np.random.Philox(key=np.array(key, dtype=np.uint64))
    # The generator advances its counter before it draws.
    before = (sum(word << 64 * i for i, word in enumerate(counter)) - 1) % 2**256
    state = generator.state
    state["state"]["counter"] = np.array([before >> 64 * i & 2**64 - 1 for i in range(4)], dtype=np.uint64)
    generator.state = state
    return sum(int(word) << 64 * i for i, word in enumerate(generator.random_raw(4)))


def scrambled(directions: NDArray[np.uint64], seed: int, index: int, dimension: int) -> int:
    """Return a coordinate of a scrambled point, times 2^53; `sobol.rs` says which bits flip which digits."""
    key = (seed, dimension - 1)
    if dimension > DIMENSIONS:
        return (philox((index, 0, 0, 3), key) & 2**64 - 1) >> 11
    plain = 0
    for bit in range(BITS):
        if (index ^ index >> 1) >> bit & 1:
            plain ^= int(directions[dimension - 1, bit])
    digits = f"{plain:0{BITS}b}"
    result = 0
    for place, digit in enumerate(digits):
        start = place // 8 * 8
        block = philox((int("0" + digits[:start], 2), start, 0, 2), key)
        node = int("1" + digits[start:place], 2)
        result = result << 1 | int(digit) ^ block >> node & 1
    return result


def golden() -> str:
    """Return reference points, and a checksum over every direction number."""
    sequence = qmc.Sobol(DIMENSIONS, scramble=False, bits=BITS)
    directions: NDArray[np.uint64] = vars(sequence)["_sv"]
    checksum = 0
    for value in directions.ravel():
        checksum = (checksum * 6364136223846793005 + int(value)) % 2**64
    points = sequence.random(POINTS) * POINTS
    assert (points == np.floor(points)).all()
    lines = [f"checksum {checksum}"]
    lines += [f"scrambled {' '.join(map(str, case))} {scrambled(directions, *case)}" for case in SCRAMBLED]
    for dimension in GOLDEN_DIMENSIONS:
        lines.append(" ".join(str(int(value)) for value in (dimension, *points[:, dimension - 1])))
    return GOLDEN_HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    (HERE / "directions.txt").write_text(directions())
    (HERE / "golden.txt").write_text(golden())

"""Derive the constants of the kernels in `exponential.rs`, `logarithm.rs` and `avx512.rs`.

Every polynomial is a weighted minimax approximation found by Lawson's iteration at 100 digits, then rounded
to double precision one coefficient at a time, from the lowest order up; after each rounding the remaining
ones are fitted again, so that the rounding of one coefficient is absorbed by the others.

Run ``python coefficients.py``; it needs mpmath. The output is Rust source, to be pasted into these files.
"""

from collections.abc import Callable

import mpmath as mp

mp.mp.dps = 100

Function = Callable[[mp.mpf], mp.mpf]


def fit(target: Function, weight: Function, low: mp.mpf, high: mp.mpf, powers: list[int]) -> list[mp.mpf]:
    """Return coefficients of ``powers`` that nearly minimise ``max |weight * (target - polynomial)|``.

    Lawson's iteration: least squares on Chebyshev nodes, with the nodes of large error weighted up each time.
    """
    middle, half = (low + high) / 2, (high - low) / 2
    size = 8 * len(powers) + 20
    nodes = [middle + half * mp.cos(mp.pi * (i + mp.mpf("0.5")) / size) for i in range(size)]
    values = [target(x) for x in nodes]
    weights = [weight(x) for x in nodes]
    lawson = [mp.mpf(1) / size] * size
    best: tuple[mp.mpf, list[mp.mpf]] | None = None
    for _ in range(15):
        basis = [
            [mp.sqrt(v) * w * x**p for p in powers] for x, w, v in zip(nodes, weights, lawson, strict=True)
        ]
        right = [mp.sqrt(v) * w * y for y, w, v in zip(values, weights, lawson, strict=True)]
        normal = mp.matrix(len(powers), len(powers))
        rhs = mp.matrix(len(powers), 1)
        for j in range(len(powers)):
            rhs[j] = mp.fdot((row[j], y) for row, y in zip(basis, right, strict=True))
            for k in range(j + 1):
                normal[j, k] = normal[k, j] = mp.fdot((row[j], row[k]) for row in basis)
        coefficients = list(mp.cholesky_solve(normal, rhs))
        errors = [
            abs(w * (y - evaluate(coefficients, powers, x)))
            for x, w, y in zip(nodes, weights, values, strict=True)
        ]
        worst = max(errors)
        if best is None or worst < best[0]:
            best = worst, coefficients
        lawson = [v * e for v, e in zip(lawson, errors, strict=True)]
        total = mp.fsum(lawson)
        lawson = [v / total for v in lawson]
    assert best is not None
    return best[1]


def evaluate(coefficients: list[mp.mpf], powers: list[int], x: mp.mpf) -> mp.mpf:
    """Return the polynomial at ``x``."""
    return sum((c * x**p for c, p in zip(coefficients, powers, strict=True)), mp.mpf(0))


def rounded(target: Function, weight: Function, low: mp.mpf, high: mp.mpf, degree: int) -> list[float]:
    """Return double-precision coefficients, lowest order first."""
    done: list[float] = []
    while len(done) <= degree:
        fixed = [mp.mpf(c) for c in done]

        def rest(x: mp.mpf, fixed: list[mp.mpf] = fixed) -> mp.mpf:
            return target(x) - evaluate(fixed, list(range(len(fixed))), x)

        done.append(float(fit(rest, weight, low, high, list(range(len(done), degree + 1)))[0]))
    return done


def report(name: str, target: Function, weight: Function, low: mp.mpf, high: mp.mpf, degree: int) -> None:
    """Print one polynomial as a Rust array, with the largest weighted error it leaves."""
    coefficients = rounded(target, weight, low, high, degree)
    exact = [mp.mpf(c) for c in coefficients]
    powers = list(range(degree + 1))
    worst = max(
        abs(weight(x) * (target(x) - evaluate(exact, powers, x)))
        for x in (low + (high - low) * i / 2000 for i in range(2001))
    )
    print(f"/// Largest weighted error 2^{float(mp.log(worst, 2)):.1f}.")
    print(f"const {name}: [f64; {degree + 1}] = [")
    for coefficient in coefficients:
        print(f"    {coefficient!r},")
    print("];")


def series(first: int) -> Function:
    """Return the sum of ``x**(i - first) / i!`` over ``i >= first``."""

    def value(x: mp.mpf) -> mp.mpf:
        return mp.nsum(lambda i: x**i / mp.factorial(i + first), [0, 40], method="direct")

    return value


def atanh_tail(z: mp.mpf) -> mp.mpf:
    """Return ``(log((1 + s) / (1 - s)) - 2 s) / s**3`` as a function of ``z = s**2``."""
    return sum((2 * z**i / (2 * i + 3) for i in range(60)), mp.mpf(0))


def split(name: str, value: mp.mpf, bits: int) -> None:
    """Print ``value`` as a head of ``bits`` significant bits and a double-precision tail."""
    exponent = int(mp.floor(mp.log(value, 2)))
    scale = mp.mpf(2) ** (bits - 1 - exponent)
    head = mp.nint(value * scale) / scale
    print(f"const {name}_HI: f64 = {float(head)!r};")
    print(f"const {name}_LO: f64 = {float(value - head)!r};")


def log1p_tail(f: mp.mpf) -> mp.mpf:
    """Return ``(log(1 + f) - f) / f**2``."""
    return -mp.fsum((-f) ** i / (i + 2) for i in range(90))


def table(name: str, values: list[mp.mpf]) -> None:
    """Print a table of 16 doubles."""
    print(f"const {name}: [f64; 16] = [")
    for value in values:
        print(f"    {float(value)!r},")
    print("];")


def log_table() -> None:
    """Print 16 doubles ``c`` close to the reciprocals of the mantissas, and ``-log(c)``.

    The mantissas lie in [3/4, 3/2); the four bits after the leading one select the entry. Every logarithm is
    a multiple of 2**-42, so that a multiple of the head of log 2 can be added without rounding, and yet
    correct to 2**-63 or so: of many multiples within 0.0005 of the wanted value that one is taken whose
    exponential is closest to a double.
    """
    grid = mp.mpf(2) ** -42
    reciprocals, logarithms, worst = [], [], mp.mpf(0)
    for i in range(16):
        if i in (0, 15):  # Around one the logarithm must be exact.
            reciprocals.append(mp.mpf(1))
            logarithms.append(mp.mpf(0))
            continue
        middle = 1 + (i + mp.mpf("0.5")) / 16
        start = mp.nint(mp.log(middle if i < 8 else middle / 2) / grid)
        best: tuple[mp.mpf, mp.mpf, mp.mpf] | None = None
        for step in range(-2000, 2001):
            logarithm = (start + 1_000_003 * step) * grid
            exact = mp.exp(-logarithm)
            reciprocal = mp.mpf(float(exact))
            error = abs(reciprocal / exact - 1)
            if best is None or error < best[0]:
                best = error, reciprocal, logarithm
        assert best is not None
        worst = max(worst, best[0])
        reciprocals.append(best[1])
        logarithms.append(best[2])
    print(f"// Largest error of a tabulated logarithm 2^{float(mp.log(worst, 2)):.1f}.")
    table("LOG_RECIPROCALS", reciprocals)
    table("LOG_VALUES", logarithms)
    head = mp.floor(mp.log(2) / grid) * grid
    print(f"const LOG_LN2_HI: f64 = {float(head)!r};")
    print(f"const LOG_LN2_LO: f64 = {float(mp.log(2) - head)!r};")


def avx512() -> None:
    """Print the constants of `avx512.rs`."""
    table("EXP_TABLE", [mp.mpf(2) ** (mp.mpf(i) / 16) for i in range(16)])
    edge = mp.log(2) / 32 * mp.mpf("1.0001")
    report("EXP", series(2), lambda r: r**2 / mp.exp(r), -edge, edge, 4)
    head = mp.mpf(float(mp.log(2)))
    print(f"const EXP_LN2_HI: f64 = {float(head)!r};")
    print(f"const EXP_LN2_LO: f64 = {float(mp.log(2) - head)!r};")
    log_table()
    report("LOG", log1p_tail, lambda f: f**2 / mp.log1p(f), mp.mpf(-1) / 32, mp.mpf(1) / 16, 8)


if __name__ == "__main__":
    half = mp.log(2) / 2 * mp.mpf("1.0001")
    # exp: weight so that the error is relative to exp(r).
    report("EXP", series(2), lambda r: r**2 / mp.exp(r), -half, half, 9)
    # expm1: the same function, error relative to expm1(r).
    report("EXPM1", series(2), lambda r: r / series(1)(r), -half, half, 10)
    edge = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mp.mpf("1.0001")
    # log: error relative to log(m), which is close to 2 s.
    report("LOG", atanh_tail, lambda z: z / 2, mp.mpf(0), edge, 6)
    split("LN2", mp.log(2), 40)
    avx512()

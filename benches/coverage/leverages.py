"""Ways to correct residuals for leverage: ``python -m benches.coverage.leverages``.

The table of docs/decisions/0012. Nothing is fitted: least squares on the Jacobian at the truth, whose
intervals are those of the delta method. Some seconds for each design.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import stdtrit
from scipy.stats import rankdata

from benches.coverage.designs import DESIGNS, LEVELS, TRUTH, Design

Array = NDArray[np.float64]

# Name, width of the prior on g (None: no working model), whether degrees of freedom take the model's noise.
METHODS = (
    ("HC2", None, False),
    ("HC3", None, False),
    ("model, equal noise", np.inf, False),
    ("model", np.inf, True),
    ("model, prior 0.5", 0.5, True),
)
SETS, SEED = 1500, 1


def jacobian(design: Design) -> tuple[Array, Array, Array]:
    """Return the slopes of log L at the truth, L, and the compute of each run."""
    runs = design.inputs()
    value = design.target(runs)
    if "C" in runs:
        term = value - design.truth["E"]
        lines = [np.ones_like(value), term, -term * np.log(runs["C"])]
        return np.stack(lines, axis=1) / value[:, None], value, runs["C"]
    N, D = runs["N"], runs["D"]
    a, b = TRUTH["A"] / N ** TRUTH["alpha"], TRUTH["B"] / D ** TRUTH["beta"]
    lines = [np.ones_like(N), a, b, -a * np.log(N), -b * np.log(D)]
    return np.stack(lines, axis=1) / value[:, None], value, 6.0 * N * D


def slope(z: Array, square: Array, width: float) -> float:
    """Return g of the working variance exp(g z)."""

    def deviance(g: float) -> float:
        return float(z.size * np.log((square * np.exp(-g * z)).sum()) + (g / width) ** 2)

    return float(minimize_scalar(deviance, bounds=(-6.0, 6.0), method="bounded").x)


def main() -> None:
    """Print how many percent of the intervals hold a parameter, mean over the parameters."""
    for name in ("unequal", "isoflop", "ladder"):
        design = DESIGNS[name]
        lines, value, compute = jacobian(design)
        q, r = np.linalg.qr(lines / np.sqrt((lines**2).sum(axis=0)))
        weights = q @ np.linalg.inv(r).T
        left = np.eye(len(q)) - q @ q.T
        h = 1.0 - np.diagonal(left)
        rank = rankdata(value)
        z = (rank - rank.mean()) / rank.std()
        rng = np.random.default_rng(SEED)
        cover = np.zeros((len(METHODS), len(LEVELS)))
        for _ in range(SETS):
            noise = design.noise(rng, compute)
            missed, residual = weights.T @ noise, left @ noise
            for row, (method, width, modelled) in enumerate(METHODS):
                phi = np.ones(len(q))
                if width is not None:
                    phi = np.exp(slope(z, residual**2 / (1.0 - h), width) * z)
                factor = phi / np.diagonal((left * phi) @ left)
                if method == "HC3":
                    factor = (1.0 - h) ** -2
                form = (left * phi) @ left if modelled else left
                share = weights**2 * factor[:, None]
                trace = share.T @ np.diagonal(form)
                square = np.einsum("ij,ik,kj->j", share, form**2, share)
                dof = np.clip(trace**2 / square, 1.0, len(q) - q.shape[1])
                ratio = np.abs(missed) / np.sqrt(share.T @ residual**2)
                for column, level in enumerate(LEVELS):
                    cover[row, column] += (ratio <= stdtrit(dof, 0.5 + 0.5 * level)).mean()
        for (method, *_), shares in zip(METHODS, 100.0 * cover / SETS, strict=True):
            print(f"{name:<8} {method:<18} {' '.join(f'{share:.0f}' for share in shares)}", flush=True)


if __name__ == "__main__":
    main()

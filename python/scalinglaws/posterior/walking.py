"""Moves of walkers along the curved ridges of a posterior.

What a ladder of runs determines are the values of the law at the runs, not its parameters: in
`E + A / N**alpha` very different parameters give nearly the same values. In the parameters the posterior is
then a thin bent ridge, on which differences of walkers point in the wrong directions. In the values of the
law at as many runs as there are parameters it is nearly normal (the stable parameters of Ross 1970). So
proposals are made there, and the parameters that have these values are found by Newton's method. A proposal
counts only if the same method leads back from it, which makes moves reversible (Zappa, Holmes-Cerf and
Goodman 2018).
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..inference import core_law, rows
from .density import Density

__all__ = ["Values", "make_moves"]

_Array = NDArray[np.float64]

# Newton steps at most, the longest of them, and what may be missing in the end, in standard deviations.
_STEPS, _LONGEST, _ARRIVED = 6, 50.0, 1e-7
# How far from its origin the way back may end.
_BACK = 1e-4


class Values:
    """Values of the law at some runs as coordinates of the posterior.

    Parameters
    ----------
    density : Density
        The posterior.
    origin : ndarray of float, shape (size,)
        Its mode, in the coordinates of the density.

    Notes
    -----
    Runs are chosen by a QR factorisation with pivoting of the Jacobian at the origin, in which each prior is
    one more row: its parameter stands for itself. So does the scale of the noise. Values are multiplied by a
    matrix that makes their derivatives at the origin the inverse of `spread`.
    """

    def __init__(self, density: Density, origin: _Array) -> None:
        from scipy.linalg import qr

        self._density = density
        problem = density.problem
        law = problem.law
        p = len(density.names)
        theta, _ = density.natural(origin[None, :])
        stretch = np.where(density.log, theta[0, problem.free], 1.0)
        blocks = list(rows(problem, theta[0], problem.free))
        jacobian = np.concatenate([np.sqrt(b.weight)[:, None] * b.jacobian for b in blocks])
        # Rows of weight zero are not among them.
        index = np.concatenate([b.index for b in blocks])
        jacobian = jacobian * stretch / density.sigma(theta[0])
        known = np.flatnonzero(density.precision > 0.0)
        prior = np.zeros((known.size, p))
        prior[np.arange(known.size), known] = np.sqrt(density.precision[known])
        _, _, order = qr(np.concatenate([jacobian, prior]).T, mode="economic", pivoting=True)
        chosen = np.sort(order[:p])
        self._runs = index[chosen[chosen < index.size]]
        self._own = known[chosen[chosen >= index.size] - index.size]
        self._inputs = [problem.inputs[name][self._runs] for name in law.inputs]
        self._position = [problem.positions(name)[self._runs] for name in law.params]
        self._grouped = bool(law.groups)
        self._tiled: dict[int, list[_Array]] = {}
        _, slopes = self.at(origin[None, :])
        spread = density.frame(origin)[1]
        self._scale = np.linalg.inv(slopes[0] @ spread)
        self.spread = spread
        self._unspread = np.linalg.inv(spread)

    def at(self, x: _Array) -> tuple[_Array, _Array]:
        """Return values, shape (m, size), and their derivatives, shape (m, size, size), at coordinates."""
        density = self._density
        problem = density.problem
        core, params = core_law(problem), list(problem.law.params)
        m, n, size = len(x), len(self._runs), density.size
        if m not in self._tiled:
            self._tiled[m] = [np.tile(column, m) for column in self._inputs]
        theta, _ = density.natural(x)
        columns = self._tiled[m] + [theta[:, where].reshape(-1) for where in self._position]
        value = np.broadcast_to(core.value(columns), (m * n,)).reshape(m, n)
        k = len(params)
        gradient = np.broadcast_to(core.gradient(columns, params), (m * n, k)).reshape(m, n, k)
        if problem.residual == "log":
            gradient, value = gradient / value[..., None], np.log(value)
        if self._grouped:
            # Of a grouped parameter one value acts on each run.
            natural = np.zeros((m, n, len(problem.names)))
            for column, where in enumerate(self._position):
                natural[:, np.arange(n), where] = gradient[..., column]
            gradient = natural
        stretch = np.where(density.log, theta[:, problem.free], 1.0)
        out, slopes = np.zeros((m, size)), np.zeros((m, size, size))
        p = len(density.names)
        out[:, :n], slopes[:, :n, :p] = value, gradient[..., problem.free] * stretch[:, None, :]
        out[:, n:p] = x[:, self._own]
        slopes[:, np.arange(n, p), self._own] = 1.0
        if density.estimated:
            out[:, p], slopes[:, p, p] = x[:, p], 1.0
        return out, slopes

    def solve(self, x: _Array, target: _Array, wanted: NDArray[np.bool_]) -> tuple[_Array, NDArray[np.bool_]]:
        """Return coordinates with some values, and whether they were found.

        Parameters
        ----------
        x : ndarray of float, shape (m, size)
            Where to start.
        target : ndarray of float, shape (m, size)
            The values.
        wanted : ndarray of bool, shape (m,)
            Which of them to look for.

        Returns
        -------
        x : ndarray of float, shape (m, size)
            Coordinates.
        found : ndarray of bool, shape (m,)
            Whether they have the values.
        """
        x, lost = x.copy(), ~wanted
        done = np.zeros(len(x), dtype=np.bool_)
        with np.errstate(all="ignore"):
            for _ in range(_STEPS):
                # All of them every time: one call for many costs little more than for few.
                value, slopes = self.at(x)
                miss = (target - value) @ self._scale.T
                lost |= ~(np.isfinite(slopes).all(axis=(1, 2)) & np.isfinite(miss).all(axis=1))
                done = ~lost & (np.abs(miss).max(axis=1) < _ARRIVED)
                going = np.flatnonzero(~(lost | done))
                if not going.size:
                    break
                step = _solve(self._scale @ slopes[going] @ self.spread, miss[going])
                length = np.sqrt((step**2).sum(axis=1, keepdims=True))
                x[going] += (step * np.minimum(1.0, _LONGEST / length)) @ self.spread.T
        return x, done

    def move(self, x: _Array, step: _Array) -> tuple[_Array, _Array]:
        """Return where steps of the scaled values lead, and the logarithm of the ratio of volumes.

        Parameters
        ----------
        x : ndarray of float, shape (m, size)
            Coordinates.
        step : ndarray of float, shape (m, size)
            Changes of the values in standard deviations.

        Returns
        -------
        there : ndarray of float, shape (m, size)
            Coordinates.
        factor : ndarray of float, shape (m,)
            What to add to the difference of log-densities; minus infinity where there is no way, or none
            back.
        """
        value, slopes = self.at(x)
        target = value + np.linalg.solve(self._scale, step.T).T
        there, found = self.solve(x, target, np.ones(len(x), dtype=np.bool_))
        # Where the density is zero nobody goes, and the way back does not matter.
        there = np.where(found[:, None], there, x)
        found &= np.isfinite(self._density(there))
        back, returned = self.solve(there, value, found)
        away = np.abs((back - x) @ self._unspread.T).max(axis=1)
        found &= returned & (away < _BACK)
        with np.errstate(all="ignore"):
            _, ahead = self.at(there)
            factor = np.linalg.slogdet(slopes)[1] - np.linalg.slogdet(ahead)[1]
        return there, np.where(found & np.isfinite(factor), factor, -np.inf)

    def scale_back(self, x: _Array, origin: _Array) -> _Array:
        """Return z of coordinates origin + spread z."""
        return np.asarray((x - origin) @ self._unspread.T)

    def scaled(self, x: _Array) -> _Array:
        """Return the values in standard deviations, shape (m, size)."""
        return np.asarray(self.at(x)[0] @ self._scale.T)


def _solve(matrices: _Array, right: _Array) -> _Array:
    """Solve one system for each row; not a number where the matrix is singular."""
    try:
        return np.asarray(np.linalg.solve(matrices, right[..., None])[..., 0])
    except np.linalg.LinAlgError:
        singular = np.linalg.det(matrices) == 0.0
        matrices = np.where(singular[:, None, None], np.eye(right.shape[1]), matrices)
        out = np.linalg.solve(matrices, right[..., None])[..., 0]
        return np.where(singular[:, None], np.nan, out)


def make_moves(emcee: ModuleType, values: Values, origin: _Array) -> list[tuple[Any, float]]:
    """Return moves of an ensemble, with the share of each.

    Parameters
    ----------
    emcee : module
        The sampler.
    values : Values
        Where most proposals are made.
    origin : ndarray of float, shape (size,)
        Coordinates z of walkers stand for origin + spread z.

    Returns
    -------
    list of (Move, float)
        Differences of two other walkers (ter Braak 2006): mostly of values of the law, at the size that suits
        a normal density and at half of it; of the coordinates; and at full length, from basin to basin.
    """
    full = 2.38 / math.sqrt(2.0 * origin.size)

    base: Any = emcee.moves.RedBlueMove

    class AlongValues(base):  # type: ignore[misc]
        """Differences of the values of the law."""

        def get_proposal(self, s: _Array, c: list[_Array], random: Any) -> tuple[_Array, _Array]:
            """Return proposals for walkers at `s`, and the logarithms of their factors."""
            here = origin + s @ values.spread.T
            others = values.scaled(origin + np.concatenate(c) @ values.spread.T)
            first = random.randint(len(others), size=len(s))
            second = (first + 1 + random.randint(len(others) - 1, size=len(s))) % len(others)
            size = full * np.where(random.rand(len(s), 1) < 0.5, 1.0, 0.5)
            there, factor = values.move(here, size * (others[first] - others[second]))
            z = values.scale_back(there, origin)
            # A walker that finds no way stays: the sampler wants numbers.
            return np.where(np.isfinite(factor)[:, None], z, s), factor

    return [
        (AlongValues(), 0.7),
        (emcee.moves.DEMove(gamma0=full), 0.2),
        (emcee.moves.DEMove(gamma0=1.0), 0.1),
    ]

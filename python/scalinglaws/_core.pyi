"""Typed face of the compiled extension: formulas, kernels, objective and solver.

Everything here works on one-dimensional, C-contiguous ``float64`` arrays in natural units.
The public classes of the package check and convert what users hand in; nothing else should import this.
"""

from collections.abc import Callable, Sequence
from typing import TypedDict, final

import numpy as np
from numpy.typing import NDArray

class _Report(TypedDict):
    theta: NDArray[np.float64]
    objective: NDArray[np.float64]
    status: list[str]
    iterations: NDArray[np.int64]
    evaluations: NDArray[np.int64]
    gradient: NDArray[np.float64]
    seconds: float

@final
class Law:
    """A compiled formula; immutable and free of thread affinity."""

    def __new__(cls, formula: str, params: Sequence[tuple[str, str, float, float]]) -> Law: ...
    @property
    def formula(self) -> str: ...
    @property
    def target(self) -> str | None: ...
    @property
    def params(self) -> tuple[str, ...]: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def groups(self) -> dict[str, str]: ...
    def latex(self) -> str: ...
    def substitute(self, ties: dict[str, str]) -> str: ...
    def value(self, columns: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]: ...
    def gradient(self, columns: Sequence[NDArray[np.float64]], wrt: Sequence[str]) -> NDArray[np.float64]: ...
    def hessian(self, columns: Sequence[NDArray[np.float64]], wrt: Sequence[str]) -> NDArray[np.float64]: ...

@final
class Problem:
    """A law bound to data, loss, weights, fixed values and priors; holds its own copy of the arrays."""

    def __new__(
        cls,
        law: Law,
        target: NDArray[np.float64],
        inputs: Sequence[NDArray[np.float64]],
        codes: Sequence[NDArray[np.uint32]],
        categories: Sequence[int],
        weights: NDArray[np.float64],
        residual: str,
        loss: str,
        scale: float,
        above: float,
        fixed: NDArray[np.float64],
        priors: Sequence[tuple[int, str, float, float]],
    ) -> Problem: ...
    def objective(self, theta: NDArray[np.float64]) -> float: ...
    def solve(
        self,
        starts: NDArray[np.float64],
        screen: int | None,
        weights: NDArray[np.float64] | None,
        max_iter: int | None,
        threads: int | None,
        progress: Callable[[int, int], object] | None,
        keep_partial: bool,
    ) -> _Report: ...

class _Refitted(_Report):
    start: NDArray[np.int64]

@final
class Resampling:
    """A problem with a way to make replicates of its rows, each a function of a seed and a number."""

    def __new__(
        cls,
        problem: Problem,
        scheme: str,
        clusters: NDArray[np.uint32] | None,
        fitted: NDArray[np.float64],
        noise: NDArray[np.float64],
        scale: NDArray[np.float64],
        about: NDArray[np.float64] | None,
    ) -> Resampling: ...
    @property
    def units(self) -> int: ...
    @property
    def unit(self) -> NDArray[np.uint32]: ...
    def replicate(
        self, seed: int, index: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
    def refit(
        self,
        warm: NDArray[np.float64],
        cold: NDArray[np.float64],
        fresh: int,
        ranges: Sequence[tuple[float, float, bool]],
        seed: int,
        first: int,
        stop: int,
        max_iter: int | None,
        threads: int | None,
        progress: Callable[[int, int], object] | None,
        keep_partial: bool,
    ) -> _Refitted: ...

def basins(
    theta: NDArray[np.float64], objective: NDArray[np.float64], status: Sequence[str]
) -> list[tuple[int, int, list[int]]]: ...
def sobol(n: int, dim: int, seed: int) -> NDArray[np.float64]: ...
def isa() -> str: ...
def build_info() -> dict[str, str]: ...
def walk(
    problem: Problem,
    held: list[tuple[int, float, float, bool, float, float]],
    starts: NDArray[np.float64],
    minimum: float,
    kappa: float,
    threshold: float,
    step: float,
    edge: float,
    level_step: float,
) -> tuple[
    str,
    float,
    tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]],
]:
    """Walk away from an optimum along held parameters: how and where it ended, and all refits."""

"""Published procedures by id: what the literature gives as a method and not as a formula is a function.

Such functions stand in `scalinglaws.rules`, `scalinglaws.schedules` and `scalinglaws.theory` under the ids of
their entries, beside their helpers. This module only tells where: it reads the ``__all__`` of the packages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from inspect import getdoc, isfunction

__all__ = ["PACKAGES", "Procedures"]

PACKAGES = ("rules", "schedules", "theory")
"""The packages that hold procedures."""


class Procedures(Mapping[str, str]):
    """Where each procedure is: a mapping from its id to the function's full name.

    The packages are imported when the mapping is first looked into.

    Parameters
    ----------
    packages : sequence of str
        Which packages of this one to look into.

    Examples
    --------
    >>> import scalinglaws as sl
    >>> sl.laws.procedures["densing"]
    'scalinglaws.rules.densing'
    >>> sl.laws.procedures.search("gradient noise two batch sizes")
    ['scalinglaws.rules.gradient_noise_scale']
    """

    def __init__(self, packages: Sequence[str] = PACKAGES) -> None:
        self._packages = tuple(packages)

    @cached_property
    def _documents(self) -> dict[str, tuple[str, str]]:
        """Full name and docstring of every public function, in alphabetical order of ids."""
        found = {}
        for package in self._packages:
            module = import_module(f"{__package__}.{package}")
            for id in module.__all__:
                function = getattr(module, id)
                if isfunction(function):
                    found[id] = f"{module.__name__}.{id}", getdoc(function) or ""
        return dict(sorted(found.items()))

    def __getitem__(self, id: str) -> str:
        """Return the full name of a function, or raise KeyError."""
        return self._documents[id][0]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids in alphabetical order."""
        return iter(self._documents)

    def __len__(self) -> int:
        """Return the number of functions."""
        return len(self._documents)

    def __repr__(self) -> str:
        """Return the number of functions and their ids."""
        return f"<{len(self)} procedures: {', '.join(self)}>"

    def search(self, text: str) -> list[str]:
        """Find procedures by topic.

        Parameters
        ----------
        text : str
            Words; small and capital letters are the same. A function is found if each word occurs in its
            name or its documentation.

        Returns
        -------
        list of str
            Full names: first those where all words occur in the name or the first line, then the others.
        """
        words = text.casefold().split()
        first, others = [], []
        for name, document in self._documents.values():
            head = f"{name} {document.partition(chr(10))[0]}".casefold()
            if all(word in head for word in words):
                first.append(name)
            elif all(word in f"{name} {document}".casefold() for word in words):
                others.append(name)
        return first + others

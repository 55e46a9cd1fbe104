"""The catalogue of published laws: a mapping from id to law that reads a law file when it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from .errors import near
from .lawfile import LawFile
from .procedures import Procedures

if TYPE_CHECKING:
    from ._ids import Catalogue
    from .law import Law

__all__ = ["FAMILIES", "Laws", "as_law", "laws"]

FAMILIES = (
    "generic",
    "dense pre-training",
    "learning-rate schedules",
    "hyperparameters and batch size",
    "mixture of experts and sparsity",
    "precision and compression",
    "architecture",
    "data mixture and quality",
    "transfer and distillation",
    "downstream",
    "test time",
    "reinforcement and reward",
    "time and adoption",
    "physics",
)
"""The families of the package's own catalogue, in the order in which they are shown."""

_FOLDER = Path(__file__).parent / "catalogue"


@dataclass(frozen=True)
class _Index:
    """What has to be read of every file to answer for families, aliases and topics."""

    files: Mapping[str, LawFile]
    families: Mapping[str, tuple[str, ...]]
    aliases: Mapping[str, str]


class Laws(Mapping[str, "Law"]):
    """The laws of a folder by id: a mapping that loads each file when it is first asked for.

    An id is the name of a file. ``laws["id"]`` and ``laws.id`` also take the other ids that a file lists as
    its aliases; iteration, length and `families` count each law once, by its own id.

    Parameters
    ----------
    folder : path, optional
        A folder of law files; the package's own catalogue if not given.

    Examples
    --------
    >>> laws.chinchilla.target
    'L'
    >>> "kaplan_nd" in laws
    True
    >>> laws.search("repeated tokens epochs")[0].id
    'data_constrained'

    A published method that is no formula is a function; `procedures` says where:

    >>> laws["densing"]
    Traceback (most recent call last):
        ...
    KeyError: "'densing' is a procedure and not a law: scalinglaws.rules.densing"
    """

    def __init__(self, folder: str | PathLike[str] | None = None) -> None:
        self._folder = _FOLDER if folder is None else Path(folder)
        self._loaded: dict[str, Law] = {}
        self._files: dict[str, tuple[tuple[int, int], LawFile]] = {}
        self._lock = threading.RLock()
        self._procedures = Procedures() if folder is None else Procedures(())

    def __getitem__(self, id: str) -> Law:
        """Return the law of that id, or raise KeyError with the nearest one."""
        # A known id is a file name of this folder; anything else must not become a path.
        known = self._ids()
        if id not in known:
            aliases = self._index().aliases
            if id not in aliases:
                raise KeyError(self._missing(id, [*known, *aliases]))
            id = aliases[id]
        with self._lock:
            if id not in self._loaded:
                self._loaded[id] = self._file(id).law(check=False)
            return self._loaded[id]

    if not TYPE_CHECKING:
        # Type checkers know the ids of the catalogue by name, so a misspelt one is an error for them.
        def __getattr__(self, id: str) -> Law:
            """Return the law of that id, or raise AttributeError with the nearest one."""
            if id.startswith("_"):
                raise AttributeError(id)
            try:
                return self[id]
            except KeyError as error:
                raise AttributeError(error.args[0]) from None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids in alphabetical order."""
        return iter(self._ids())

    def __len__(self) -> int:
        """Return the number of laws."""
        return len(self._ids())

    def __contains__(self, id: object) -> bool:
        """Tell whether there is a law of that id or alias, without loading it."""
        return id in self._ids() or (isinstance(id, str) and id in self._index().aliases)

    def __dir__(self) -> list[str]:
        """List ids and aliases with the methods."""
        return sorted({*super().__dir__(), *self._ids(), *self._index().aliases})

    def __repr__(self) -> str:
        """Return the number of laws and their ids."""
        return f"<{len(self)} laws: {', '.join(self)}>"

    @property
    def families(self) -> Mapping[str, tuple[str, ...]]:
        """Ids of the laws of each family: those of `FAMILIES` in that order, then others by name."""
        return self._index().families

    @property
    def aliases(self) -> Mapping[str, str]:
        """Other ids of laws, with the id each stands for."""
        return self._index().aliases

    @property
    def procedures(self) -> Procedures:
        """Published methods that are no formulas: where the function of each id is.

        ``laws.procedures.search(...)`` finds them by topic. Empty for a folder of one's own.
        """
        return self._procedures

    def search(self, text: str) -> list[Law]:
        """Find laws by topic.

        Parameters
        ----------
        text : str
            Words; small and capital letters are the same. A law is found if each word occurs in its id,
            aliases, title, family, description, notes or papers.

        Returns
        -------
        list of Law
            First those where all words occur outside the notes, then the others; each part in alphabetical
            order of ids; empty if nothing fits.
        """
        words = text.casefold().split()
        files = self._index().files
        found = [id for id, file in files.items() if file.contains(words)]
        found.sort(key=lambda id: not files[id].contains(words, notes=False))
        return [self[id] for id in found]

    @staticmethod
    def load(path: str | PathLike[str]) -> Law:
        """Read a law from a file of one's own.

        Parameters
        ----------
        path : path
            A TOML file in the form of the catalogue's files.

        Returns
        -------
        Law
            The law. Its checks have been evaluated and hold to a relative 1e-9.

        Raises
        ------
        FormulaError
            If the formula cannot be read or uses a name that is not declared; with file, line and caret.
        ValueError
            If a table is wrong or a check fails; with file, line and table.
        """
        return LawFile(Path(path)).law(check=True)

    def _missing(self, id: object, known: list[str]) -> str:
        """Say where a procedure is that was taken for a law, or which id is near."""
        if id in self._procedures:
            return f"{id!r} is a procedure and not a law: {self._procedures[str(id)]}"
        hint = near(str(id), [*known, *self._procedures])
        return f"there is no law {id!r}.{hint} laws.search(...) finds laws by topic"

    def _ids(self) -> list[str]:
        return sorted(path.stem for path in self._folder.glob("*.toml"))

    def _file(self, id: str) -> LawFile:
        """Read a file, unless it has been read as it is now."""
        path = self._folder / f"{id}.toml"
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        with self._lock:
            if id not in self._files or self._files[id][0] != stamp:
                self._files[id] = stamp, LawFile(path)
            return self._files[id][1]

    def _index(self) -> _Index:
        """Read every file of the folder; the second time only those that changed."""
        files = {id: self._file(id) for id in self._ids()}
        order = {family: place for place, family in enumerate(FAMILIES)}
        found = {file.family for file in files.values()}
        families = {
            family: tuple(id for id, file in files.items() if file.family == family)
            for family in sorted(found, key=lambda family: (order.get(family, len(order)), family))
        }
        aliases: dict[str, str] = {}
        for id, file in files.items():
            for alias in file.aliases:
                if alias in files or alias in aliases:
                    other = alias if alias in files else aliases[alias]
                    file.refuse(("aliases",), f"{alias!r} is an id of {other!r} already")
                aliases[alias] = id
        return _Index(files, MappingProxyType(families), MappingProxyType(aliases))


laws: Catalogue = Laws()  # type: ignore[assignment]
"""The package's own catalogue."""


def as_law(law: Law | str) -> Law:
    """Return a law, or that of the package's catalogue with this id.

    Parameters
    ----------
    law : Law or str
        A law, or an id.

    Returns
    -------
    Law
        The law.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If there is no law of that id; with the nearest one.
    """
    from .law import Law

    if isinstance(law, Law):
        return law
    if isinstance(law, str):
        try:
            return laws[law]
        except KeyError as error:
            raise ValueError(error.args[0]) from None
    raise TypeError(f"law must be a Law or the name of one, not {type(law).__name__}")

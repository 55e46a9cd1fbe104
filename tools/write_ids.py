"""Write the type stub that tells type checkers and editors the ids of the catalogue.

``python tools/write_ids.py`` writes ``python/scalinglaws/_ids.pyi``; with ``--check`` it only compares, and
leaves with 1 if the file is not what it would write.
"""

from __future__ import annotations

import sys
from pathlib import Path

from generated import write_or_check
from scalinglaws.laws import laws

STUB = Path(__file__).parents[1] / "python" / "scalinglaws" / "_ids.pyi"

HEAD = '''\
"""The ids of the catalogue. Written by tools/write_ids.py from the law files; `make stubs` does it again."""

from .law import Law
from .laws import Laws

class Catalogue(Laws):
    """The package's own laws; every id is an attribute."""
'''


def stub() -> str:
    """Return the text of the stub.

    Returns
    -------
    str
        A class with one property for each id and alias.
    """
    ids = {**dict.fromkeys(laws), **laws.aliases}
    out = [HEAD]
    for name in sorted(ids):
        law = laws[name]
        title = law.title if ids[name] is None else f"Another id of {ids[name]}. {law.title}"
        out.append(f'\n    @property\n    def {name}(self) -> Law:\n        """{title}."""\n')
    return "".join(out)


def main(arguments: list[str]) -> int:
    """Write or check the stub; see `write_or_check`."""
    return write_or_check(arguments, lambda: {STUB: stub()}, "stubs")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

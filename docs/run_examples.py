"""Run the ``pycon`` blocks of Markdown files as doctests.

``python docs/run_examples.py README.md docs/*.md``. The blocks of one file share their names, in the order of
the text, and run in the repository's root.
"""

import doctest
import os
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def example_lines(text: str) -> str:
    """Blank every line outside ``pycon`` blocks, so that examples keep their line numbers."""
    kept, inside = [], False
    for line in text.splitlines():
        fence = line.startswith("```")
        kept.append(line if inside and not fence else "")
        inside = line.rstrip() == "```pycon" if fence else inside
    return "\n".join(kept) + "\n"


def main(paths: list[str]) -> int:
    """Run the examples of all files; 1 if one of them fails or there is none at all."""
    files = [Path(path).resolve() for path in paths]
    os.chdir(ROOT)
    warnings.simplefilter("error")
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for file in files:
        test = doctest.DocTestParser().get_doctest(
            example_lines(file.read_text(encoding="utf-8")), {"__name__": "__main__"}, file.name, str(file), 0
        )
        runner.run(test)
    failed, attempted = runner.summarize(verbose=False)
    print(f"examples: {attempted - failed} passed, {failed} failed")
    return 1 if failed or not attempted else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

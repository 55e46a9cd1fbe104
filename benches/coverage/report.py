"""stub."""

from typing import Any


def write_report(*args: Any) -> None: ...

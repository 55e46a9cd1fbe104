"""Packages that only some methods need."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__all__ = ["need"]


def need(package: str, extra: str) -> ModuleType:
    """Import a package of an extra, or raise ImportError with the command that installs it."""
    try:
        return import_module(package)
    except ImportError:
        message = f"this needs the package {package}: pip install 'scalinglaws[{extra}]'"
        raise ImportError(message) from None

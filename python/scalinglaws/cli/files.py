"""Tables of runs from files: CSV, JSON lines and Parquet, through whatever reader is installed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

__all__ = ["read_table"]

_KINDS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}


def read_table(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read a table of runs.

    The first of polars, pandas and pyarrow that is installed reads it; CSV and JSON lines need none of them.

    Parameters
    ----------
    path : path
        A file whose name ends in .csv, .jsonl, .ndjson, .parquet or .pq.

    Returns
    -------
    dict of str to ndarray
        Columns; text and nulls as objects.

    Raises
    ------
    DataError
        If the file cannot be read as what its name says.
    OSError
        If there is no such file.
    """
    path = Path(path)
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{path}: a table of runs is a .csv, .jsonl or .parquet file")
    # Opening it first makes a missing file the same error for every reader.
    with path.open("rb") as stream:
        if not stream.read(1):
            raise DataError(f"{path}: the file is empty")
    for module, reader in _READERS[kind]:
        try:
            library = import_module(module)
        except ImportError:
            continue
        try:
            return _columns(reader(library, path))
        except Exception as error:
            # Each reader has its own exceptions, and all of them mean that the file is not what it should be.
            first = str(error).strip().splitlines()[:1]
            raise DataError(f"{path}: {module} cannot read this as {kind}: {' '.join(first)}") from None
    if kind == "parquet":
        raise DataError(f"{path}: reading Parquet needs polars, pandas or pyarrow")
    return _read_csv(path) if kind == "csv" else _read_jsonl(path)


_READERS: dict[str, list[tuple[str, Callable[[Any, Path], Any]]]] = {
    "csv": [
        ("polars", lambda library, path: library.read_csv(path, infer_schema_length=None)),
        ("pandas", lambda library, path: library.read_csv(path)),
        ("pyarrow.csv", lambda library, path: library.read_csv(path)),
    ],
    "jsonl": [
        ("polars", lambda library, path: library.read_ndjson(path, infer_schema_length=None)),
        ("pandas", lambda library, path: library.read_json(path, lines=True)),
        ("pyarrow.json", lambda library, path: library.read_json(path)),
    ],
    "parquet": [
        ("polars", lambda library, path: library.read_parquet(path)),
        ("pyarrow.parquet", lambda library, path: library.read_table(path)),
        ("pandas", lambda library, path: library.read_parquet(path)),
    ],
}


def _columns(frame: Any) -> dict[str, NDArray[Any]]:
    import narwhals as nw

    table = nw.from_native(frame, eager_only=True)
    return {str(name): table.get_column(name).to_numpy() for name in table.columns}


def _read_csv(path: Path) -> dict[str, NDArray[Any]]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            header = next(reader)
            rows = [row for row in reader if row]
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path}: this is not CSV: {error}") from None
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(f"{path}: the header names {twice!r} twice")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise DataError(f"{path}: row {number} has {len(row)} fields, the header has {len(header)}")
    return {name: _typed([row[index] for row in rows]) for index, name in enumerate(header)}


def _read_jsonl(path: Path) -> dict[str, NDArray[Any]]:
    rows: list[dict[str, Any]] = []
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}: line {number} is not JSON: {error}") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}: line {number} is not an object with one value per column")
            rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: _objects([row.get(name) for row in rows]) for name in names}


def _typed(texts: list[str]) -> NDArray[Any]:
    """Numbers where every field is one or empty, else text."""
    try:
        return np.array([float(text) if text.strip() else np.nan for text in texts], dtype=np.float64)
    except ValueError:
        return _objects([text if text.strip() else None for text in texts])


def _objects(values: list[Any]) -> NDArray[Any]:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out

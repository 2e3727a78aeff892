"""Tables from CSV and parquet files, however they were written."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ensemble_forecast.data import exports, numerals
from ensemble_forecast.errors import BadInput

DELIMITERS = ",;\t|"
LINES = 30  # looked at to find the delimiter
FOREIGN = {b"PK\x03\x04": "a zip or Excel file", b"\xd0\xcf\x11\xe0": "an old Excel file", b"\x1f\x8b": "a gzip file", b"%PDF": "a PDF"}


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV or parquet file. Delimiter, decimal mark, thousands separators, quotes and byte-order marks are found out.

    Returns
    -------
    DataFrame: columns of which every cell is a number are numbers, all others stay as they are written, for ``frames`` to judge.

    Raises
    ------
    BadInput
        When there is no such file, or it is a folder, empty or no table; the message says what to do.
    """
    path = Path(path)
    if path.is_dir():
        raise BadInput(f"{path} is a folder; name the CSV or parquet file in it")
    if not path.exists():
        raise BadInput(f"no file at {path}; check the path (relative paths start from {Path.cwd()})")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}; check its permissions") from error
    if not raw.strip():
        raise BadInput(f"{path} is empty; it needs a header line and one row per step")
    if raw.startswith(b"PAR1"):
        return _read_parquet(path, raw)
    if path.suffix.lower() in {".parquet", ".pq"}:
        raise BadInput(f"{path} is no parquet file although its name says so; write it again, or name it .csv")
    try:
        return _read_csv(path, _decode(path, raw))
    except csv.Error as error:
        raise BadInput(f"{path} is no regular table ({error}); save it as CSV (UTF-8) or parquet") from error


def _read_parquet(path: Path, raw: bytes) -> pd.DataFrame:
    """Read parquet, with the index a frame was written with."""
    try:
        return pd.read_parquet(io.BytesIO(raw))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise BadInput(f"{path} is a damaged parquet file ({str(error).splitlines()[0]}); write it again") from error


def _decode(path: Path, raw: bytes) -> str:
    """Decode text in UTF-8, UTF-16 with a mark, or the Western code page of old spreadsheets."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace")
    kind = next((name for magic, name in FOREIGN.items() if raw.startswith(magic)), "a binary file" if b"\0" in raw else None)
    if kind:
        raise BadInput(f"{path} is {kind}, not a table; save it as CSV (UTF-8) or parquet")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def _read_csv(path: Path, text: str) -> pd.DataFrame:
    """Read CSV text, all cells as text first, so that nothing is guessed cell by cell."""
    text = exports.without_banner(text)
    delimiter = _delimiter(text)
    header = next(row for row in csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True) if any(cell.strip() for cell in row))
    if sum(_is_number(cell) for cell in header) * 2 > len(header):
        if (names := exports.header_for(header)) is not None:
            return _read_csv(path, f"{delimiter.join(names)}\n{text}")
        raise BadInput(f"{path}, row 1: numbers stand where the names of the columns should; put a header line first, such as ds,y")
    try:
        frame = pd.read_csv(io.StringIO(text), sep=delimiter, dtype=str, skipinitialspace=True, keep_default_na=False, na_values=[""])
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        remedy = f"give every line the {len(header)} cells of the header (delimiter {delimiter!r}), and quote cells that hold it"
        raise BadInput(f"{path} is no regular table ({str(error).strip()}); {remedy}") from error
    if not len(frame):
        raise BadInput(f"{path} has a header but no rows; it needs one row per step")
    if len(frame.columns) == len(header):
        frame.columns = pd.Index([name.strip() for name in header], dtype=object)  # pandas would rename repeated names
    frame = frame.dropna(axis=1, how="all") if any(not name.strip() for name in header) else frame  # a delimiter at the end of every line
    return _with_numbers(exports.normalised(frame), delimiter)


def _with_numbers(frame: pd.DataFrame, delimiter: str) -> pd.DataFrame:
    """Convert the columns of which every cell is a number; the decimal mark is one for the whole file."""
    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    marks = {numerals.decimal_mark(column.dropna().str.strip()) for column in columns} - {None}
    decimal = marks.pop() if len(marks) == 1 else "," if delimiter in ";\t" and not marks and _commas_only(columns) else "."
    return pd.concat([_number_column(column, decimal or ".") for column in columns], axis=1)


def _number_column(column: pd.Series, decimal: str) -> pd.Series:
    """Convert a text column to int64 or float64 when every cell is a number; codes with leading zeros stay text."""
    cells = column.dropna().str.strip()
    if cells.str.fullmatch(r"[+-]?0\d+").any():
        return column
    if not column.isna().any() and cells.str.fullmatch(r"[+-]?\d{1,18}").all():
        return cells.map(int).astype(np.int64)
    if not numerals.is_numeric(column):
        return column
    values, bad = numerals.to_numbers(column, decimal)
    return column if bad.any() else pd.Series(values, index=column.index, name=column.name)


def _commas_only(columns: list[pd.Series]) -> bool:
    """Whether numbers such as 1,234 occur and none has a point: between semicolons, the comma is a decimal mark."""
    comma = any(column.dropna().str.fullmatch(r"\s*[+-]?\d+,\d+\s*").any() for column in columns)
    return comma and not any(column.dropna().str.fullmatch(r"\s*[+-]?\d+\.\d+\s*").any() for column in columns)


def _delimiter(text: str) -> str:
    """Find the delimiter: the one that cuts the first lines into the same number of cells, the most cells first."""
    lines = [line for line in text[:100_000].splitlines() if line.strip()][:LINES]

    def cells(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)]
        return (sum(width == widths[0] for width in widths) / len(widths) if widths[0] > 1 else 0.0), widths[0]

    return max(DELIMITERS, key=cells)


def _is_number(cell: str) -> bool:
    """Whether a header cell is a number."""
    return bool(len(numerals.NOISE.sub("", cell)) and np.isfinite(numerals.to_numbers(pd.Series([cell], dtype=str))[0][0]))

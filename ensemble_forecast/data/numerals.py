"""Numbers as people write them: ``1,234.5``, ``1.234,5``, ``1 234``, ``$12``, blank."""

import re

import numpy as np
import pandas as pd
from pandas.api import types

BLANKS = {"", "-", ".", "na", "n/a", "#n/a", "nan", "nat", "null", "none", "<na>", "missing"}
NOISE = re.compile("[\\s'_$\u20ac\u00a3\u00a5\u20bf]")  # spaces of every width (thousands), apostrophes, currency signs
SAMPLE = 200  # cells looked at to tell a column of numbers from one of text


def is_numeric(column: pd.Series) -> bool:
    """Whether a column holds numbers, or text of which at least half of the first cells are numbers."""
    if types.is_bool_dtype(column.dtype) or types.is_numeric_dtype(column.dtype):
        return not types.is_complex_dtype(column.dtype)
    if types.is_datetime64_any_dtype(column.dtype) or isinstance(column.dtype, pd.PeriodDtype):
        return False
    head = column[~blank(column)].head(SAMPLE)
    return len(head) > 0 and 2 * np.isfinite(to_numbers(head)[0]).sum() >= len(head)


def blank(column: pd.Series) -> np.ndarray:
    """Which cells say that there is no value."""
    missing = column.isna().to_numpy(dtype=bool)
    if types.is_numeric_dtype(column.dtype):
        return missing
    return missing | column.astype(str).str.strip().str.lower().isin(BLANKS).to_numpy(dtype=bool)


def to_numbers(column: pd.Series, decimal: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Convert a column to float64.

    Parameters
    ----------
    column
        Numbers, booleans, or text.
    decimal
        Mark to assume when the column itself does not tell whether ``1,234`` has a decimal mark; a point when None.

    Returns
    -------
    The values, NaN where blank, and a mask of the cells that are no numbers.

    >>> to_numbers(pd.Series(["1.234,5", "7", "x"]))
    (array([1234.5,    7. ,    nan]), array([False, False,  True]))
    """
    if types.is_bool_dtype(column.dtype) or types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan), np.zeros(len(column), dtype=bool)
    missing = blank(column)
    cells = column.astype(str).str.replace(NOISE, "", regex=True).str.replace("\u2212", "-", regex=False)
    cells = cells.mask(cells.str.lower() == "true", "1").mask(cells.str.lower() == "false", "0")
    mark = decimal_mark(cells) or decimal or "."
    group = "," if mark == "." else r"\."
    shape = rf"(?=[+-]?{re.escape(mark)}?\d)[+-]?(?:\d+|\d{{1,3}}(?:{group}\d{{3}})+)?(?:{re.escape(mark)}\d*)?(?:[eE][+-]?\d+)?"
    shaped = cells.str.fullmatch(shape).to_numpy(dtype=bool) | cells.str.lower().isin(["inf", "-inf", "+inf", "infinity", "-infinity"]).to_numpy()
    plain = cells.str.replace("," if mark == "." else ".", "", regex=False).str.replace(",", ".", regex=False)
    values = np.full(len(column), np.nan)
    values[shaped & ~missing] = plain.to_numpy(dtype=object)[shaped & ~missing].astype(np.float64)  # pandas would miss the nearest float at times
    return values, ~missing & np.isnan(values)


def decimal_mark(cells: pd.Series) -> str | None:
    """Tell the decimal mark of text cells when some cell leaves no doubt and none contradicts; None otherwise.

    >>> decimal_mark(pd.Series(["1.234,5"])), decimal_mark(pd.Series(["1,234"]))
    (',', None)
    """
    speaks = {mark: bool(cells.str.fullmatch(_certain(mark)).any()) for mark in ".,"}
    if speaks["."] == speaks[","]:
        return None
    return "." if speaks["."] else ","


def _certain(mark: str) -> str:
    """Pattern of a number that can only be read with this decimal mark."""
    mark, group = re.escape(mark), re.escape("," if mark == "." else ".")
    grouped = rf"\d{{1,3}}(?:{group}\d{{3}})"
    return rf"[+-]?(?:{grouped}+{mark}\d*|{grouped}{{2,}}|\d+{mark}(?:\d{{1,2}}|\d{{4,}})|(?:0\d*|\d{{4,}}|){mark}\d{{3}})(?:[eE][+-]?\d+)?"

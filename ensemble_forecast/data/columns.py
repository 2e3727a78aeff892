"""How the columns of a table are read: which one holds stamps, ids, the target, and what is known when."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ensemble_forecast.data import numerals, stamps
from ensemble_forecast.data.calendars import Calendar
from ensemble_forecast.data.problem import Problem
from ensemble_forecast.errors import BadInput
from ensemble_forecast.registry import did_you_mean

STAMP_NAMES = ("ds", "date", "datetime", "timestamp", "time", "open_time", "open time", "opentime")
LOOSE_STAMP_NAMES = ("period", "day", "week", "month", "quarter", "year")  # may be covariates too: only when nothing else reads as dates
ID_NAMES = ("unique_id", "item_id", "series_id")
LOOSE_ID_NAMES = ("series", "id", "ticker", "symbol", "asset")  # read as ids unless they number the rows
TARGET_NAMES = ("y", "close")
GAPS = ("error", "mask", "fill")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """How columns are read, validated once, at birth. Names are matched exactly, else without regard to case.

    Parameters
    ----------
    target
        Column to forecast; None: ``y``, then ``close``, then the only numeric column.
    known
        Columns known ahead of time; rows after the last target carry them.
    static
        Columns with one value per series.
    past
        Columns known up to the origin; None: every other numeric column. A fitted model names them, so that newer frames are read alike.
    freq
        Calendar as a pandas offset alias; None: found in the stamps.
    gaps
        ``"error"`` refuses missing steps, ``"mask"`` keeps their target missing, ``"fill"`` carries the last value forward.

    Raises
    ------
    BadInput
        When a column has two roles, or freq or gaps is not one of the known words.
    """

    target: str | None = None
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    past: tuple[str, ...] | None = None
    freq: str | None = None
    gaps: str = "error"

    def __post_init__(self) -> None:
        named = self.named
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise BadInput(f"a column has one role, target, past, known or static; {', '.join(map(repr, twice))} is named twice: keep one of them")
        if self.gaps not in GAPS:
            raise BadInput(f"gaps must be one of {', '.join(GAPS)}; got {self.gaps!r}; {did_you_mean(self.gaps, list(GAPS))}")
        if self.freq is not None:
            Calendar.parse(self.freq)

    @property
    def named(self) -> list[str]:
        """Every column named, in the order target, past, known, static."""
        return [*([self.target] if self.target else []), *(self.past or ()), *self.known, *self.static]


@dataclass(frozen=True)
class Layout:
    """The columns of one frame by role: names as they stand in the frame."""

    stamp: str
    id: str | None
    target: str
    past: tuple[str, ...]
    known: tuple[str, ...]
    static: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def numeric(self) -> tuple[str, ...]:
        """Columns that hold numbers: the target, then past, known and static."""
        return (self.target, *self.past, *self.known, *self.static)


def flatten(frame: pd.DataFrame | pd.Series) -> pd.DataFrame:
    """Make column names plain text and turn an index that says something (stamps, ids) into columns.

    Raises
    ------
    BadInput
        When it is no frame.
    """
    if isinstance(frame, pd.Series):
        frame = frame.to_frame(frame.name if frame.name is not None else "y")
    if not isinstance(frame, pd.DataFrame):
        raise BadInput(f"data must be a pandas DataFrame or Series; got {type(frame).__name__}: convert it first")
    index = frame.index
    named = [str(name).strip().lower() for name in index.names if name is not None]
    says_something = isinstance(index, pd.MultiIndex) or not pd.api.types.is_integer_dtype(index.dtype)
    flat = frame.copy(deep=False)
    flat.columns = _plain_names(frame.columns)
    if says_something or any(name in (*STAMP_NAMES, *LOOSE_STAMP_NAMES, *ID_NAMES) for name in named):
        is_stamp = isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex))
        names = [str(name).strip() if name is not None else ("ds" if is_stamp else f"index_{level}") for level, name in enumerate(index.names)]
        free = [f"{name} (index)" if name in set(flat.columns) else name for name in names]
        parts = [index.get_level_values(level).to_series(index=pd.RangeIndex(len(index)), name=name) for level, name in enumerate(free)]
        flat = pd.concat([*parts, flat.reset_index(drop=True)], axis=1)
    return flat.reset_index(drop=True)


def lay_out(flat: pd.DataFrame, columns: Columns) -> tuple[Layout | None, list[Problem]]:
    """Give every column of a flattened frame its role, or say what stands in the way."""
    names = list(flat.columns)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        return None, [Problem(None, None, name, "two columns have this name", "rename or remove one") for name in twice]
    if not len(flat):
        return None, [Problem(None, None, None, "the table has no rows", "give at least one row per step of history")]
    found = {name: _match(name, names) for name in columns.named}
    problems = [_absent(name, columns, names) for name, column in found.items() if column is None]
    if problems:
        return None, problems
    taken = {str(column) for column in found.values()}
    stamp = _find_stamp(flat, [name for name in names if name not in taken])
    if stamp is None:
        remedy = "name the column of dates 'ds' or 'date', or give the frame a DatetimeIndex"
        return None, [Problem(None, None, None, f"no column of stamps among {_list(names)}", remedy)]
    rest = [name for name in names if name not in taken | {stamp}]
    identity, row_counter = _find_id(flat, rest)
    rest = [name for name in rest if name != identity and name != row_counter]
    numeric = [name for name in rest if numerals.is_numeric(flat[name])]
    target = found[columns.target] if columns.target else _default_target(numeric)
    if target is None:
        found_text = "no column of numbers to forecast" if not numeric else f"several columns could be the target: {_list(numeric)}"
        remedy = "add a column 'y'" if not numeric else "name one with target (--target)"
        return None, [Problem(None, None, None, found_text, remedy)]
    chosen = (target, *(str(found[name]) for name in (*columns.known, *columns.static, *(columns.past or ()))))
    if len(set(chosen)) < len(chosen):
        return None, [Problem(None, None, target, "the column has two roles", "name it once among target, past, known and static")]
    problems = [_text(flat[name]) for name in chosen if not numerals.is_numeric(flat[name]) and not numerals.blank(flat[name]).all()]
    past = tuple(str(found[name]) for name in columns.past) if columns.past is not None else tuple(n for n in numeric if n not in chosen)
    layout = Layout(
        stamp=stamp,
        id=identity,
        target=target,
        past=past,
        known=tuple(str(found[name]) for name in columns.known),
        static=tuple(str(found[name]) for name in columns.static),
        left_out=tuple(name for name in names if name not in {stamp, identity, *chosen, *past}),
    )
    return (None if problems else layout), problems


def _plain_names(names: pd.Index) -> pd.Index:
    """Make column names plain text; of several levels (field, ticker) those that do not tell columns apart are dropped."""
    levels = [names.get_level_values(i) for i in range(names.nlevels)]
    telling = [level for level in levels if level.nunique() > 1] or levels[:1]
    return pd.Index(np.array([" ".join(map(str, parts)).strip() for parts in zip(*telling, strict=True)], dtype=object))


def _match(name: str, names: list[str]) -> str | None:
    """Find a column by its exact name, else by the only one that equals it without regard to case."""
    if name in names:
        return name
    alike = [candidate for candidate in names if candidate.lower() == name.strip().lower()]
    return alike[0] if len(alike) == 1 else None


def _default_target(numeric: list[str]) -> str | None:
    """Choose ``y``, then ``close``, then the only numeric column."""
    for name in TARGET_NAMES:
        if (column := _match(name, numeric)) is not None:
            return column
    return numeric[0] if len(numeric) == 1 else None


def _find_stamp(flat: pd.DataFrame, names: list[str]) -> str | None:
    """Find the column of stamps: a date type in the first column (an index), a usual name, a date type anywhere, text that reads as dates."""
    first = flat[names[0]] if names else None
    if first is not None and names[0] not in STAMP_NAMES and isinstance(first.dtype, (pd.DatetimeTZDtype, np.dtype)) and first.dtype.kind == "M":
        return names[0]
    for usual in STAMP_NAMES:
        if (column := _match(usual, names)) is not None:
            return column
    loose = [column for usual in LOOSE_STAMP_NAMES if (column := _match(usual, names)) is not None]
    return next((name for name in names if stamps.is_stamp(flat[name])), loose[0] if loose else None)


def _find_id(flat: pd.DataFrame, names: list[str]) -> tuple[str | None, str | None]:
    """Find the column of series ids, and a column such as ``id`` that merely numbers the rows."""
    for usual in ID_NAMES:
        if (column := _match(usual, names)) is not None:
            return column, None
    for usual in LOOSE_ID_NAMES:
        if (column := _match(usual, names)) is not None:
            counts_rows = len(flat) > 1 and pd.api.types.is_numeric_dtype(flat[column].dtype) and flat[column].is_unique
            return (None, column) if counts_rows else (column, None)
    return None, None


def _list(names: list[str], most: int = 12) -> str:
    """Name columns, but not hundreds of them."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _absent(name: str, columns: Columns, names: list[str]) -> Problem:
    """Say that a named column is not there."""
    roles = {"known covariate": columns.known, "static covariate": columns.static, "past covariate": columns.past or ()}
    role = next((role for role, members in roles.items() if name in members), "target")
    remedy = f"add it, or correct its name; {did_you_mean(name, names)}"
    return Problem(None, None, name, f"the {role} is missing from the table", remedy)


def _text(column: pd.Series) -> Problem:
    """Say that a column that must be numbers holds text."""
    cell = column[~numerals.blank(column)].iloc[0]
    return Problem(None, None, str(column.name), f"numbers are needed, but the column holds {cell!r}", "write it as numbers (0 and 1, say)")

"""The doctor: lists what is wrong with a table, and mends what can be mended, telling every change."""

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
from pandas.api import types

from ensemble_forecast.data import checks
from ensemble_forecast.data import table as tables
from ensemble_forecast.data.calendars import Calendar, infer
from ensemble_forecast.data.columns import Columns, Layout, flatten, lay_out
from ensemble_forecast.data.frames import fill, insert_missing
from ensemble_forecast.data.problem import Problem, refuse
from ensemble_forecast.data.table import Log, Table

LOG = logging.getLogger(__name__)


def examine(frame: pd.DataFrame, columns: Columns) -> list[Problem]:
    """List everything that keeps a frame from becoming a Panel: one entry per series, column and kind of problem, naming the first row."""
    return checks.inspect(frame, columns, log=LOG.debug).problems


def fix(frame: pd.DataFrame, columns: Columns) -> tuple[pd.DataFrame, list[str]]:
    """Mend a frame: sort, remove repeated rows, convert dates and numbers, put stamps on the calendar, insert missing steps with the last value.

    A series that is constant or too short stays as it is. Of rows with one stamp the last is kept.

    Returns
    -------
    The mended frame, stamps and ids as columns, and one sentence for every kind of change.

    Raises
    ------
    BadInput
        When nobody but the user can tell what is meant: no target, no stamps, dates of ambiguous order, a freq that is not the data's.
    """
    changes: list[str] = []
    flat = _without_repeated_columns(flatten(frame), changes.append)
    layout, obstacles = lay_out(flat, columns)
    if layout is None:
        refuse(obstacles)
    table, unread = tables.read(flat, layout, changes.append)
    _tell_unread(unread, changes.append)
    _tell_types(flat, layout, changes.append)
    table = _repair_values(_in_order(table, changes.append), changes.append)
    table = tables.trim(table, changes.append)
    if not len(table.stamp):
        refuse([Problem(None, None, layout.target, "no row has a stamp and a target", "give the target's history")])
    table, calendar = _on_calendar(table, columns, changes.append)
    inserted = insert_missing(table, calendar.locate(table.stamp, table.offsets)[0], calendar)
    if len(inserted.stamp) > len(table.stamp):
        changes.append(f"{len(inserted.stamp) - len(table.stamp)} missing steps inserted")
    table = fill(_complete_known(inserted, changes.append), "fill", changes.append)
    return _to_frame(flat, table), changes


def _without_repeated_columns(flat: pd.DataFrame, log: Log) -> pd.DataFrame:
    """Keep the first of columns with one name."""
    repeated = flat.columns.duplicated()
    if repeated.any():
        log(f"columns removed because their name occurs before: {', '.join(flat.columns[repeated])}")
    return flat.loc[:, ~repeated]


def _tell_unread(problems: list[Problem], log: Log) -> None:
    """Say what became of cells and rows that could not be read; refuse what only the user can decide."""
    for problem in problems:
        if "day first" in problem.found:
            refuse([problem])
        done = "row removed" if any(word in problem.found for word in ("no date", "stamp is missing", "no name")) else "emptied"
        done = "converted to UTC" if "time zone" in problem.found else "rounded down to seconds" if "fractions" in problem.found else done
        log(f"series {problem.series!r}, row {problem.row}, column {problem.column!r}: {problem.found}: {done}")


def _tell_types(flat: pd.DataFrame, layout: Layout, log: Log) -> None:
    """Say which columns of text became dates or numbers."""
    if not types.is_datetime64_any_dtype(flat[layout.stamp].dtype):
        log(f"column {layout.stamp!r} converted to dates")
    for name in layout.numeric:
        if not (types.is_numeric_dtype(flat[name].dtype) or types.is_bool_dtype(flat[name].dtype)):
            log(f"column {name!r} converted to numbers")


def _in_order(table: Table, log: Log) -> Table:
    """Sort within series and keep the last of rows with one stamp."""
    step = np.diff(table.stamp)
    step[table.offsets[1:-1] - 1] = 1
    if (step > 0).all():
        return table
    if (step < 0).any():
        log("rows sorted by stamp within each series")
    table = tables.ordered(table)
    last = tables.last_of_equal_stamps(table)
    if not last.all():
        values, after = np.nan_to_num(table.values), np.roll(np.nan_to_num(table.values), -1, axis=0)
        equal = int((~last & (values == after).all(axis=1)).sum())
        log(f"{int((~last).sum())} rows with a repeated stamp removed ({equal} identical to the next one; of the others the last was kept)")
    return table.take(last)


def _repair_values(table: Table, log: Log) -> Table:
    """Empty infinite cells and make static covariates constant."""
    values = table.values.copy()
    infinite = np.isinf(values)
    if infinite.any():
        log(f"{int(infinite.sum())} infinite cells emptied")
        values[infinite] = np.nan
    for i, name in enumerate(table.layout.static, start=table.known.stop):
        present = pd.Series(values[:, i]).groupby(table.series).transform("first").to_numpy()
        changed = ~((values[:, i] == present) | np.isnan(present))
        if changed.any():
            log(f"static covariate {name!r} set to the first value of its series in {int(changed.sum())} rows")
        values[:, i] = present
    return replace(table, values=values)


def _on_calendar(table: Table, columns: Columns, log: Log) -> tuple[Table, Calendar]:
    """Move irregular stamps to the nearest step of the calendar."""
    found = infer(table.stamp, table.offsets)
    chosen = found if columns.freq is None else Calendar.parse(columns.freq)
    if chosen is None:
        refuse(
            [Problem(None, None, table.layout.stamp, "no series has two stamps: the calendar cannot be found", "name it with freq (D, h, W, MS ...)")]
        )
    calendar = chosen.anchored(table.stamp)
    step, on_calendar = calendar.locate(table.stamp, table.offsets)
    other = checks.find_other_calendar(table, step, columns.freq, calendar, found)
    if other:
        refuse(other)
    moved = int((on_calendar != table.stamp).sum())
    if moved:
        log(f"{moved} irregular stamps moved to the calendar {str(calendar)!r}")
    return _in_order(replace(table, stamp=on_calendar), log), calendar


def _complete_known(table: Table, log: Log) -> Table:
    """Give the first steps of a known covariate its first value: it was known ahead."""
    values = table.values.copy()
    for i in range(table.known.start, table.known.stop):
        carried = pd.Series(values[:, i]).groupby(table.series)
        completed = np.where(np.isnan(carried.ffill()), carried.bfill(), values[:, i])
        count = int((np.isnan(values[:, i]) & ~np.isnan(completed)).sum())
        if count:
            log(f"{count} first values of {table.layout.numeric[i]!r} set to the first one given")
        values[:, i] = completed
    return replace(table, values=values)


def _to_frame(flat: pd.DataFrame, table: Table) -> pd.DataFrame:
    """Write a table back into the columns of the frame it came from."""
    layout = table.layout
    mended = flat.reindex(table.row).reset_index(drop=True)
    mended[layout.stamp] = table.stamp.astype("datetime64[s]")
    if layout.id is not None:
        mended[layout.id] = np.repeat(np.array(table.ids, dtype=object), np.diff(table.offsets))
    for i, name in enumerate(layout.numeric):
        mended[name] = table.values[:, i]
    return mended

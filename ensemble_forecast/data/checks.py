"""The checks at the door: what a table must be before it becomes a Panel."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ensemble_forecast.data import table as tables
from ensemble_forecast.data.calendars import Calendar, infer
from ensemble_forecast.data.columns import Columns, flatten, lay_out
from ensemble_forecast.data.problem import Problem, such_rows
from ensemble_forecast.data.table import Log, Table

SHORTEST = 5  # observed steps a single series needs: fewer leave no step to fit on and one to score
OPTIONS = "choose gaps='fill' (carry the last value on), gaps='mask' (keep missing), or complete the data (doctor --fix does)"
LARGEST_GROWTH = 10  # times the rows: more missing steps than that mean a wrong stamp, not gaps
SMALL = 10_000  # rows that may always be inserted


@dataclass(frozen=True, eq=False)
class Findings:
    """What the checks made of a frame: the table, trimmed, sorted where it had to be, with its calendar; None where they could not be read."""

    table: Table | None
    calendar: Calendar | None
    step: np.ndarray
    problems: list[Problem]


def inspect(frame: pd.DataFrame, columns: Columns, log: Log, *, new: bool = False) -> Findings:
    """Read a frame and check it. With ``new`` (history for a fitted model) a constant or short single series is no problem."""
    nothing = np.empty(0, dtype=np.int64)
    flat = flatten(frame)
    layout, found = lay_out(flat, columns)
    if layout is None:
        return Findings(None, None, nothing, found)
    if layout.left_out:
        log(f"columns left out because they are no numbers or were not asked for: {', '.join(layout.left_out)}")
    table, found = tables.read(flat, layout, log)
    if not len(table.stamp):
        return Findings(None, None, nothing, found or [Problem(None, None, layout.stamp, "no row has a stamp", "fill in the stamps")])
    unread = {(problem.series, problem.column) for problem in found}
    table, disorder = _order(table)
    found = [*found, *disorder, *_infinities(table), *_varying_statics(table)]
    table = tables.trim(table, log)
    if not len(table.stamp):
        return Findings(None, None, nothing, found or [Problem(None, None, layout.target, "no target is observed", "fill in the target's history")])
    calendar, step, off_calendar = _calendar(table, columns.freq)
    found += off_calendar
    if calendar is not None and not off_calendar:
        found += _gaps(table, step, columns.gaps)
    found += [problem for problem in _missing(table, columns.gaps) if (problem.series, problem.column) not in unread]
    if len(table.ids) == 1 and not new:
        found += _single(table)
    return Findings(table, calendar, step, found)


def _order(table: Table) -> tuple[Table, list[Problem]]:
    """Find unsorted and repeated stamps, and put them right so that the checks that follow can go on."""
    step = np.diff(table.stamp)
    step[table.offsets[1:-1] - 1] = 1
    if (step > 0).all():
        return table, []
    found = []
    after = np.concatenate([[False], step < 0])
    for position, count in table.first_per_series(after):
        text = f"{when(table.stamp[position])} comes after {when(table.stamp[position - 1])}: stamps are not sorted ({count} steps back in time)"
        found.append(table.problem(position, table.layout.stamp, text, "sort by stamp within each series (doctor --fix does)"))
    table = tables.ordered(table)
    last = tables.last_of_equal_stamps(table)
    for position, count in table.first_per_series(~last):
        text = f"{when(table.stamp[position])} occurs more than once ({count} rows too many)"
        found.append(table.problem(position, table.layout.stamp, text, "keep one row per stamp, or name the id column if these are several series"))
    return table.take(last), found


def _infinities(table: Table) -> list[Problem]:
    """Find infinite values."""
    infinite = np.isinf(table.values)
    if not infinite.any():
        return []
    return [
        table.problem(position, name, f"infinity{such_rows(count)}", "write a finite number or leave the cell empty")
        for i, name in enumerate(table.layout.numeric)
        for position, count in table.first_per_series(infinite[:, i])
    ]


def _varying_statics(table: Table) -> list[Problem]:
    """Find static covariates that change within a series, or that a series lacks."""
    found = []
    for i, name in enumerate(table.layout.static, start=table.known.stop):
        column, first = table.values[:, i], np.repeat(table.values[table.offsets[:-1], i], np.diff(table.offsets))
        for position, count in table.first_per_series(~(column == first)):
            text = "the static covariate is missing" if np.isnan(column[position]) else "the static covariate changes within the series"
            found.append(table.problem(position, name, f"{text}{such_rows(count)}", "give one number per series, or do not name it static"))
    return found


def _calendar(table: Table, freq: str | None) -> tuple[Calendar | None, np.ndarray, list[Problem]]:
    """Find or check the calendar and locate every row on it."""
    inferred = infer(table.stamp, table.offsets)
    chosen = inferred if freq is None else Calendar.parse(freq)
    if chosen is None:
        remedy = "name the calendar with freq (D, h, W, MS ...)"
        return None, table.stamp, [Problem(None, None, table.layout.stamp, "no series has two stamps: the calendar cannot be found", remedy)]
    calendar = chosen.anchored(table.stamp)
    step, on_calendar = calendar.locate(table.stamp, table.offsets)
    other = find_other_calendar(table, step, freq, calendar, inferred)
    if other:
        return calendar, step, other
    found_off = []
    for position, count in table.first_per_series(table.stamp != on_calendar):
        text = f"{when(table.stamp[position])} is irregular: it is no stamp of the calendar {str(calendar)!r}{such_rows(count)}"
        hint = f"give freq {str(inferred)!r}" if freq is not None and str(inferred) != str(calendar) else "give the true freq"
        remedy = f"{hint}, or move the row to {when(on_calendar[position])} (doctor --fix does)"
        found_off.append(table.problem(position, table.layout.stamp, text, remedy))
    return calendar, step, found_off


def find_other_calendar(table: Table, step: np.ndarray, freq: str | None, calendar: Calendar, inferred: Calendar | None) -> list[Problem]:
    """Find a given freq that is not that of the stamps."""
    jumps = np.delete(np.diff(step), table.offsets[1:-1] - 1)
    mostly = np.median(jumps) if len(jumps) >= 3 else 1  # two steps or fewer prove nothing
    if freq is None or mostly == 1 or str(inferred) == str(calendar):
        return []
    found = f"freq {freq!r} was given, but the stamps follow {str(inferred)!r}"
    return [Problem(None, None, table.layout.stamp, found, f"give freq {str(inferred)!r}, or none, or correct the stamps")]


def _gaps(table: Table, step: np.ndarray, gaps: str) -> list[Problem]:
    """Find missing steps: all of them where gaps are refused, else only absurdly long ones."""
    jump = np.concatenate([[1], np.diff(step)])
    jump[table.offsets[:-1]] = 1
    missing = int((jump - 1).sum())
    found = []
    if missing > max(SMALL, LARGEST_GROWTH * len(step)):
        position = int(np.argmax(jump))
        text = f"{jump[position] - 1} steps are missing before {when(table.stamp[position])}: a stamp is wrong, or freq is too fine"
        return [table.problem(position, table.layout.stamp, text, "correct the stamp, or give the true freq")]
    if gaps == "error" and missing:
        for position, count in table.first_per_series(jump > 1):
            steps = int(jump[position] - 1)
            text = f"{steps} step{'s' * (steps > 1)} missing between {when(table.stamp[position - 1])} and {when(table.stamp[position])}"
            text += f", the first of {count} gaps" if count > 1 else ""
            found.append(table.problem(position, table.layout.stamp, text, OPTIONS))
    return found


def _missing(table: Table, gaps: str) -> list[Problem]:
    """Find missing values that the chosen treatment of gaps does not cover."""
    absent = np.isnan(table.values[:, : table.known.stop])
    absent[np.isinf(table.values[:, : table.known.stop])] = False
    if not absent.any():
        return []
    ahead = np.repeat(last_observed(table) + table.offsets[:-1], np.diff(table.offsets)) < np.arange(len(table.stamp))
    found = []
    for i, name in enumerate(table.layout.numeric[: table.known.stop]):
        is_known = i >= table.known.start
        marked = absent[:, i] if is_known else absent[:, i] & ~ahead
        if gaps != "error" or not is_known:
            seen = _seen_before(~absent[:, i], table.offsets)
            marked = marked & (~seen if gaps != "error" else seen)  # a past covariate may begin late: indicators need their first steps
        if gaps != "error" and not is_known:
            continue
        what = "the known covariate" if is_known else "the target" if i == 0 else "the covariate"
        for position, count in table.first_per_series(marked):
            text = f"{what} is missing at {when(table.stamp[position])}{such_rows(count)}"
            found.append(
                table.problem(position, name, text, OPTIONS if gaps == "error" else "fill in its first values: nothing earlier can stand in")
            )
    return found


def _single(table: Table) -> list[Problem]:
    """Refuse a lone series that is constant or too short; in a panel the naive serves such series."""
    target = table.values[:, 0]
    target = target[~np.isnan(target)]
    series, name = table.ids[0], table.layout.target
    if len(target) < SHORTEST:
        return [
            Problem(series, None, name, f"the series is too short: {len(target)} observed steps, at least {SHORTEST} are needed", "give more history")
        ]
    if (target == target[0]).all():
        return [Problem(series, None, name, f"the series is constant: all {len(target)} values are {target[0]:g}", "give a target that changes")]
    return []


def last_observed(table: Table) -> np.ndarray:
    """Step of the last observed target of each series of a trimmed table."""
    observed = np.flatnonzero(~np.isnan(table.values[:, 0]))
    return observed[np.searchsorted(observed, table.offsets[1:]) - 1] - table.offsets[:-1]


def _seen_before(present: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Whether a value was present earlier in the same series."""
    count = np.cumsum(present) - present
    return count > np.repeat(count[offsets[:-1]], np.diff(offsets))


def when(stamp: int) -> str:
    """Write a stamp, without its clock at midnight."""
    return str(np.datetime64(int(stamp), "s")).replace("T00:00:00", "").replace("T", " ")

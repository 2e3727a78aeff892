"""Frames become a Panel, and a Panel becomes a frame again."""

import hashlib
import logging
from dataclasses import replace

import numpy as np
import pandas as pd

from ensemble_forecast.data.calendars import Calendar
from ensemble_forecast.data.checks import inspect, last_observed
from ensemble_forecast.data.columns import Columns, flatten, lay_out
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.problem import refuse
from ensemble_forecast.data.table import Log, Table

LOG = logging.getLogger(__name__)


def to_panel(frame: pd.DataFrame, columns: Columns, log: Log = LOG.info, *, new: bool = False) -> Panel:
    """Check a frame and turn it into a Panel.

    Parameters
    ----------
    frame
        Long (``unique_id``, ``ds``, target, covariates), or one series with a DatetimeIndex or a column of stamps. Rows of different series may
        interleave; within a series they must be in order.
    columns
        How columns are read, and what to do about gaps.
    log
        Called with one line for everything left out, dropped, converted or inserted.
    new
        Whether this is newer history for a fitted model: then a constant or short single series is served, not refused.

    Raises
    ------
    BadInput
        With series, row, column, what was found and the way out for the first problem, and the number of others.
    """
    findings = inspect(frame, columns, log, new=new)
    if findings.problems or findings.table is None or findings.calendar is None:
        refuse(findings.problems)
    table, calendar = findings.table, findings.calendar
    inserted = insert_missing(table, findings.step, calendar)
    if len(inserted.stamp) > len(table.stamp):
        log(f"{len(inserted.stamp) - len(table.stamp)} missing steps inserted (gaps={columns.gaps!r})")
    table = fill(inserted, columns.gaps, log)
    layout, known = table.layout, table.known
    observed_S = last_observed(table) + 1
    ahead = np.arange(len(table.stamp)) >= np.repeat(table.offsets[:-1] + observed_S, np.diff(table.offsets))
    panel = Panel(
        ids=table.ids,
        freq=str(calendar),
        start_S=table.stamp[table.offsets[:-1]].astype("datetime64[s]"),
        offsets=table.offsets,
        lengths_S=observed_S,
        y=np.ascontiguousarray(table.values[:, 0]),
        past=np.where(ahead[:, None], np.nan, table.values[:, 1 : known.start]),
        known=np.ascontiguousarray(table.values[:, known]),
        static=np.ascontiguousarray(table.values[table.offsets[:-1], known.stop :]),
        past_names=layout.past,
        known_names=layout.known,
        static_names=layout.static,
    )
    _count_dull_series(panel, log)
    return panel


def insert_missing(table: Table, step: np.ndarray, calendar: Calendar) -> Table:
    """Insert the steps a sorted table lacks: their values are NaN, but for static covariates."""
    first, last = table.offsets[:-1], table.offsets[1:] - 1
    offsets = np.concatenate([[0], np.cumsum(step[last] - step[first] + 1)])
    if offsets[-1] == len(step):
        return table
    size_S = np.diff(offsets)
    position = np.repeat(offsets[:-1] - step[first], np.diff(table.offsets)) + step
    row = np.full(offsets[-1], -1, dtype=np.int64)
    row[position] = table.row
    values = np.full((offsets[-1], table.values.shape[1]), np.nan)
    values[:, table.known.stop :] = np.repeat(table.values[first, table.known.stop :], size_S, axis=0)
    values[position] = table.values
    stamps = calendar.stamps(table.stamp[first], offsets)
    return replace(table, offsets=offsets, row=row, stamp=stamps, values=values)


def fill(table: Table, gaps: str, log: Log) -> Table:
    """Carry the last observed value forward: covariates, and with ``gaps="fill"`` the target too, up to its last observed step.

    A line drawn to the next observed value would tell the steps before it what is still to come: on random walks with long gaps that was
    worth 4 % of the loss to a ridge.
    """
    stop = table.known.stop
    if gaps == "error" or not np.isnan(table.values[:, :stop]).any():
        return table
    values = table.values.copy()
    ahead = np.repeat(last_observed(table) + table.offsets[:-1], np.diff(table.offsets)) < np.arange(len(values))
    missing = np.isnan(values[:, 0]) & ~ahead
    if gaps == "mask" and missing.any():
        log(f"{int(missing.sum())} missing targets kept as missing")
    begin = np.repeat(table.offsets[:-1], np.diff(table.offsets))
    for i in range(0 if gaps == "fill" else 1, stop):
        absent = np.isnan(values[:, i])
        last = np.maximum.accumulate(np.where(absent, begin, np.arange(len(values))))
        carried = absent & ~np.isnan(values[last, i]) & ~(ahead & (i < table.known.start))
        values[carried, i] = values[last[carried], i]
        if carried.any():
            log(f"{int(carried.sum())} missing values of {table.layout.numeric[i]!r} carried forward")
    return replace(table, values=values)


def settle(frame: pd.DataFrame, columns: Columns, panel: Panel) -> Columns:
    """Name every column and the calendar as they were found in ``frame``, so that newer frames are read in exactly the same way."""
    layout, problems = lay_out(flatten(frame), columns)
    if layout is None:
        refuse(problems)
    return replace(columns, target=layout.target, past=panel.past_names, known=panel.known_names, static=panel.static_names, freq=panel.freq)


def to_frame(panel: Panel, target: str = "y") -> pd.DataFrame:
    """Write a panel as a long frame: unique_id, ds, target, past, known and static covariates."""
    size_S = np.diff(panel.offsets)
    series = np.repeat(np.arange(panel.n_series), size_S)
    frame = {
        "unique_id": np.array(panel.ids, dtype=object)[series],
        "ds": panel.stamps_at(series, np.arange(len(series)) - panel.offsets[series]),
        target: panel.y,
    }
    static = panel.static[series]
    for names, block in ((panel.past_names, panel.past), (panel.known_names, panel.known), (panel.static_names, static)):
        frame |= {name: block[:, j] for j, name in enumerate(names)}
    return pd.DataFrame(frame)


def fingerprint(panel: Panel, until_S: np.ndarray | None = None) -> str:
    """Hash the content of a panel up to a given last step per series: tells whether data are the same.

    Parameters
    ----------
    until_S
        Last step that counts, per series; None: everything. Two panels agree when they agree up to there, whatever follows.
    """
    seen = panel if until_S is None else panel.cut(until_S)
    digest = hashlib.sha256(repr((seen.ids, seen.freq, seen.past_names, seen.known_names, seen.static_names)).encode())
    for whole in (seen.start_S.astype("datetime64[s]"), seen.offsets, seen.lengths_S):
        digest.update(whole.astype("<i8").tobytes())
    for numbers in (seen.y, seen.past, seen.known, seen.static):
        canonical = np.where(np.isnan(numbers), np.nan, numbers) + 0.0  # one NaN, one zero
        digest.update(canonical.astype("<f8").tobytes())
    return digest.hexdigest()


def _count_dull_series(panel: Panel, log: Log) -> None:
    """Say how many series of a panel are constant: the naive serves them."""
    if panel.n_series < 2:
        return
    size_S = np.diff(panel.offsets)
    first = np.repeat(panel.y[panel.offsets[:-1]], size_S)
    changes = np.add.reduceat(~(np.isnan(panel.y) | (panel.y == first)), panel.offsets[:-1])
    constant = np.flatnonzero(changes == 0)
    if len(constant):
        log(f"{len(constant)} of {panel.n_series} series are constant (the first: {panel.ids[constant[0]]!r}); the naive serves them")

"""A study: a pipeline, its data up to a fixed end, the plan of its windows, and the folder where its results live."""

import itertools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ensemble_forecast import atomic
from ensemble_forecast import pipeline as pipelines
from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.files import read_table
from ensemble_forecast.data.frames import fingerprint, settle, to_panel
from ensemble_forecast.data.origins import last_stamp, steps_until
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.table import Log
from ensemble_forecast.data.task import Task
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.audit import audit
from ensemble_forecast.features.periods import automatic_season
from ensemble_forecast.features.sets import with_features
from ensemble_forecast.pipeline import Pipeline
from ensemble_forecast.registry import find
from ensemble_forecast.store import RunFolder
from ensemble_forecast.windows import Plan, plan

OnEvent = Callable[[dict[str, Any]], None]  # see search.driver.search
FRAME = "(a data frame)"  # the source of a study that was given its data in Python
PACKAGES = ("ensemble-forecast", "numpy", "optuna", "pandas", "scikit-learn", "torch", "xgboost")


@dataclass(frozen=True, eq=False)
class Study:
    """One study, opened.

    Parameters
    ----------
    columns
        How the source's columns were read, so that newer frames are read alike.
    panel
        Rows up to the study's data end, fixed when it was created: all that search, stack and evaluate may see.
    latest
        All rows the source has now: what `predict` starts from.
    """

    name: str
    folder: RunFolder
    pipeline: Pipeline
    columns: Columns
    panel: Panel
    latest: Panel

    @property
    def task(self) -> Task:
        """The forecasting task."""
        return self.pipeline.task

    @property
    def plan_spec(self) -> dict[str, Any]:
        """Arguments from which every process cuts the same windows."""
        return {"test": self.pipeline.test, "n_windows": self.pipeline.windows}

    @cached_property
    def plan(self) -> Plan:
        """Folds and locked test origins."""
        return plan(self.panel, self.task, **self.plan_spec)

    @property
    def transforms(self) -> tuple[str, ...]:
        """Transforms a candidate may use, decided on the rows before the first window alone."""
        if self.pipeline.label == "barrier":
            return ("none",)  # under another one the barriers would lie elsewhere
        if self.pipeline.transform != "auto":
            return (self.pipeline.transform,)
        seen = self.panel.cut(self.plan.folds[0].cutoff_S).y
        return ("none", "log") if np.nanmin(seen, initial=np.inf) > 0 else ("none", "asinh")


def columns_of(pipeline: Pipeline) -> Columns:
    """Say how the pipeline's columns are to be read."""
    return Columns(target=pipeline.target, known=pipeline.known, static=pipeline.static, freq=pipeline.freq, gaps=pipeline.gaps)


def read_frame(source: str, log: Log) -> pd.DataFrame:
    """Read a registered source (``NAME`` or ``NAME:WHAT``), or a CSV or parquet file."""
    if not pipelines.is_source(source):
        return read_table(Path(source))
    name, colon, what = source.partition(":")
    read: Callable[..., pd.DataFrame] = find(name, "sources")
    return read(what, log) if colon else read()


def open_study(name: str, runs: Path, pipeline: Pipeline, *, frame: pd.DataFrame | None = None, fresh: bool = False, log: Log) -> Study:
    """Open a study, creating its run folder on the first call.

    Raises
    ------
    BadInput
        When the study was begun with other settings or other data; the message names ``--fresh``, which renames the old folder aside. When a
        feature looks ahead; the message names it.
    """
    path = runs / check_name(name)
    if frame is None and not pipelines.is_source(pipeline.source):
        pipeline = pipeline.model_copy(update={"source": str(Path(pipeline.source).resolve())})
    frame = read_frame(pipeline.source, log) if frame is None else frame
    raw = to_panel(frame, columns_of(pipeline), log)
    columns = settle(frame, columns_of(pipeline), raw)
    latest = with_features(raw, pipeline.features)
    _refuse_below_zero(latest, pipeline)
    record = path / "pipeline.toml"
    begins = fresh or not record.exists()
    if pipeline.season is None:  # found once: newer rows must not change what errors are scaled by
        season = _found_season(raw, pipeline) if begins else pipelines.read(record).season
        pipeline = pipeline.model_copy(update={"season": season})
    if begins:
        study = Study(name, RunFolder(path), pipeline, columns, latest, latest)
        _ = study.plan  # refuses series that are too short before anything is written or moved
        audit(raw, pipeline.features)
        with atomic.alone(runs / f".{name}.begun"):  # of several searches that begin a study at once, the first does
            if fresh or not record.exists():
                if path.exists():
                    _set_aside(path, log)
                pipelines.write(pipeline, record, _resolve(study))
                return study
    before = pipelines.read(record)
    if changed := pipelines.changes(before, pipeline):
        raise BadInput(f"study {name!r} was begun with other settings: {'; '.join(changed)}. Take another --study name, or add --fresh to start anew")
    data_end, data_hash = pipelines.read_resolved(record)
    panel = latest.cut(steps_until(latest, data_end))
    if fingerprint(panel, panel.ends_S) != data_hash:
        raise BadInput(
            f"study {name!r} was begun with other data: {pipeline.source} differs in its rows up to {data_end}. "
            "Take another --study name, or add --fresh to start anew"
        )
    return Study(name, RunFolder(path), pipeline, columns, panel, latest)


def check_name(name: str) -> str:
    """Refuse a study name that is no plain folder name: it would lead out of the runs folder."""
    if not re.fullmatch(r"\w[^/\\]*", name):
        raise BadInput(f"a study needs a plain name that begins with a letter or digit and has no slash, such as btc; got {name!r}")
    return name


def _found_season(panel: Panel, pipeline: Pipeline) -> int:
    """Find the season where none is named, on the rows before the first window alone."""
    guess = pipeline.model_copy(update={"season": 1})  # no season has its first window earlier
    first = plan(panel, guess.task, test=guess.test, n_windows=guess.windows).folds[0]
    return automatic_season(panel.cut(first.cutoff_S))


def _set_aside(path: Path, log: Log) -> None:
    """Rename an old run, which must not be in use, so that a new one can begin under its name."""
    with RunFolder(path).lock():
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = next(each for n in itertools.count() if not (each := path.with_name(f"{path.name}.{stamp}{f'-{n}' if n else ''}")).exists())
        path.rename(aside)
    log(f"the old run was kept as {aside}")


def reopen(name: str, runs: Path, *, frame: pd.DataFrame | None = None, log: Log) -> Study:
    """Open a study that exists, by the pipeline recorded in its run folder.

    Raises
    ------
    BadInput
        When there is no such study.
    """
    record = runs / check_name(name) / "pipeline.toml"
    if not record.exists():
        known = ", ".join(studies(runs)) or "none yet"
        raise BadInput(f"no study {name!r} in {runs}/ (there are: {known}); begin one with: python -m ensemble_forecast search --study {name}")
    return open_study(name, runs, pipelines.read(record), frame=frame, log=log)


def studies(runs: Path) -> list[str]:
    """Name the studies of a runs folder, newest first."""
    records = sorted(runs.glob("*/pipeline.toml"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [path.parent.name for path in records]


def _resolve(study: Study) -> dict[str, Any]:
    """Find out at the start of a run what is recorded once and never changed."""
    return {
        "format": pipelines.RUN_FORMAT,
        "data_end": str(last_stamp(study.panel)),
        "data_hash": fingerprint(study.panel, study.panel.ends_S),  # rows ahead are no data yet
        "n_series": study.panel.n_series,
        "windows": len(study.plan.folds),
        "windows_aligned_by": study.plan.aligned,
        "versions": {package: version(package) for package in PACKAGES},
    }


def _refuse_below_zero(panel: Panel, pipeline: Pipeline) -> None:
    """Refuse a target that is not above zero where something asked for needs one that is."""
    needs = {"transform 'log'": pipeline.transform == "log", "backtest": pipeline.backtest}
    rows = np.flatnonzero(panel.y <= 0)
    if not any(needs.values()) or not len(rows):
        return
    series, step = panel.place(int(rows[0]))
    stamp = panel.stamps(series, step, 1)[0]
    cures = {"transform 'log'": "set transform to 'auto', 'asinh' or 'none'", "backtest": "set backtest = false"}
    raise BadInput(
        f"{' and '.join(name for name, asked in needs.items() if asked)} needs a target above zero; series {panel.ids[series]!r} has "
        f"{panel.y[rows[0]]:g} at {stamp} ({len(rows)} such rows): correct the data, or "
        f"{' and '.join(cures[name] for name, asked in needs.items() if asked)} in the pipeline"
    )


def silent(told: object) -> None:
    """Drop a log line or a progress event."""

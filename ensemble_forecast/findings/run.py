"""All that the report shows of a run, collected; what is not there yet is named with the command that makes it."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ensemble_forecast.data.frames import to_frame
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.sets import own_sets
from ensemble_forecast.findings.drivers import drivers
from ensemble_forecast.findings.scored import scored
from ensemble_forecast.findings.searched import searched
from ensemble_forecast.forecaster import EnsembleForecaster, load
from ensemble_forecast.overview import status
from ensemble_forecast.pipeline import parse_toml
from ensemble_forecast.stacking import summary
from ensemble_forecast.study import Study

MOST_SERIES = 6  # whose forecasts are drawn
HISTORY_HORIZONS = 12  # how much of the past is drawn, in horizons

Record = dict[str, Any]


def findings(study: Study) -> Record:
    """Read what a run has found. The locked test origins stay locked: of them, only what ``verdict.json`` holds is told.

    Returns
    -------
    records by section: ``status``, ``settings``, ``verdict``, ``ahead``, ``search``, ``members``, ``scored`` and ``drivers``; a section that cannot
    be told has a ``reason`` alone, and where a command would help, that ``verb``.
    """
    path = study.folder.path
    search = searched(study)
    model = load(path / "ensemble", allow=own_sets(study.pipeline.features)) if (path / "ensemble").exists() else None
    members = _members(study, model)
    trusted = [member["id"] for member in members["members"]] if model else [row["id"] for row in search["board"] if row["state"] == "finished"]
    return {
        "status": status(study.name, path.parent),
        "settings": _settings(study),
        "verdict": _verdict(study),
        "ahead": _ahead(study, model),
        "search": search,
        "members": members,
        "scored": scored(study, model.ensemble_ if model else None),
        "drivers": drivers(study, trusted),
    }


def effective_number(weights: Sequence[float]) -> float:
    """Count members as if all had the same weight: 1 over the sum of squared shares (Kish 1965); as many as there are where weights are equal.

    >>> effective_number([0.25] * 4), round(effective_number([0.97, 0.01, 0.01, 0.01]), 2)
    (4.0, 1.06)
    """
    total = sum(weights)
    return total**2 / sum(weight**2 for weight in weights)


def _settings(study: Study) -> Record:
    """Say what was run, and where its steps lie."""
    return {
        "pipeline": (study.folder.path / "pipeline.toml").read_text(encoding="utf-8"),
        "resolved": parse_toml(study.folder.path / "pipeline.toml")["resolved"],
        "metric": study.pipeline.score_name,
        "horizon": study.task.horizon,
        "kind": study.task.kind,
        "target": study.columns.target,
        "freq": study.panel.freq,
        "series": study.panel.n_series,
        "windows": len(study.plan.folds),
        "locked": len(study.plan.test),
    }


def _verdict(study: Study) -> Record:
    """Return ``verdict.json``, with the stamps of the steps that were traded."""
    file = study.folder.path / "verdict.json"
    if not len(study.plan.test):
        return {"reason": "This study locks no test rows, so nothing can be judged on data that nobody has seen: set test = 0.2 in its pipeline."}
    if not file.exists():
        ready = (study.folder.path / "judged").exists()
        return {"reason": "The locked test rows have not been opened: there is no verdict yet.", "verb": "evaluate" if ready else "stack"}
    verdict: Record = json.loads(file.read_text(encoding="utf-8")) | {"reason": None}
    if "shown" in verdict.get("backtest", {}):
        first = int(study.plan.test.step[0])
        stamps = study.panel.stamps(int(study.plan.test.series[0]), first + 1, verdict["backtest"]["steps"])
        verdict["backtest"]["stamps"] = [str(stamps[step]) for step in verdict["backtest"]["shown"]]
    return verdict


def _ahead(study: Study, model: EnsembleForecaster | None) -> Record:
    """Forecast the next horizon from the newest rows, as the verb ``predict`` does, with the history before it."""
    if model is None:
        return {"reason": "There is no ensemble yet to forecast with.", "verb": "stack"}
    model.panel_ = study.latest
    try:
        forecast = model.predict()
    except BadInput as error:
        return {"reason": f"The next horizon cannot be forecast: {error}."}
    past = to_frame(study.latest)
    names = list(dict.fromkeys(forecast["unique_id"]))
    series = [_series(past, forecast, name, study.task.horizon) for name in names[:MOST_SERIES]]
    return {"reason": None, "series": series, "n_series": len(names)}


def _series(past: pd.DataFrame, forecast: pd.DataFrame, name: str, horizon: int) -> Record:
    """Lay out the recent past and the forecast of one series as plain lists."""
    history, future = past[past["unique_id"] == name].dropna(subset="y").tail(HISTORY_HORIZONS * horizon), forecast[forecast["unique_id"] == name]
    columns = {column: future[column].tolist() for column in future.columns if column not in ("unique_id", "ds")}
    return {
        "id": str(name),
        "past": {"ds": history["ds"].astype(str).tolist(), "y": history["y"].tolist()},
        "future": {"ds": future["ds"].astype(str).tolist(), **columns},
    }


def _members(study: Study, model: EnsembleForecaster | None) -> Record:
    """Tell who is in the ensemble and how the contest went, as the verb ``stack`` does."""
    if model is None:
        return {"reason": "There is no ensemble yet.", "verb": "stack"}
    told = summary(study, model.manifest_, [])
    return {"reason": None, **told, "effective_number": effective_number([member["weight"] for member in told["members"]])}

"""All that the report shows of a run, collected; what is not there yet is named with the command that makes it."""

import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ensemble_forecast.data.panel import Panel
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
from ensemble_forecast.threads import one_thread

MOST_SERIES = 6  # whose forecasts are drawn
HISTORY_HORIZONS, LEAST_HISTORY = 12, 90  # how much of the past is drawn: so many horizons, and at least so many steps

Record = dict[str, Any]


@one_thread
def findings(study: Study) -> Record:
    """Read what a run has found. The locked test origins stay locked: of them, only what ``verdict.json`` holds is told.

    Returns
    -------
    records by section: ``status``, ``settings``, ``verdict``, ``ahead``, ``search``, ``members``, ``scored`` and ``drivers``; a section that cannot
    be told has a ``reason`` alone, and where a command would help, that ``verb``.
    """
    path = study.folder.path
    search = searched(study)
    model, absent = _loaded(study)
    members = absent if model is None else _members(study, model)
    trusted = [member["id"] for member in members["members"]] if model else [row["id"] for row in search["board"] if row["state"] == "finished"]
    return {
        "status": status(study.name, path.parent),
        "settings": _settings(study),
        "verdict": _verdict(study),
        "ahead": absent if model is None else _ahead(study, model),
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
        "label": study.task.label,
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


def _loaded(study: Study) -> tuple[EnsembleForecaster | None, Record]:
    """Load the saved ensemble, or say why there is none to load and what to type."""
    folder = study.folder.path / "ensemble"
    if not folder.exists():
        return None, {"reason": "There is no ensemble yet.", "verb": "stack"}
    try:
        return load(folder, allow=own_sets(study.pipeline.features)), {"reason": None}
    except BadInput as error:
        return None, {"reason": f"The saved ensemble cannot be read: {error}."}


def _ahead(study: Study, model: EnsembleForecaster) -> Record:
    """Forecast the next horizon from the newest rows, as the verb ``predict`` does, with the history before it."""
    model.panel_ = study.latest
    try:
        forecast = model.predict()
    except BadInput as error:
        return {"reason": f"The next horizon cannot be forecast: {error}."}
    names = forecast["unique_id"].unique().tolist()
    return {"reason": None, "series": [_series(study.latest, forecast, name) for name in names[:MOST_SERIES]], "n_series": len(names)}


def _series(panel: Panel, forecast: pd.DataFrame, name: str) -> Record:
    """Lay out the recent past and the forecast of one series as plain lists; a missing step of the past is None."""
    index, future = panel.ids.index(name), forecast[forecast["unique_id"] == name]
    past = panel.values(index)[-max(HISTORY_HORIZONS * len(future), LEAST_HISTORY) :]
    stamps = panel.stamps(index, int(panel.lengths_S[index]) - len(past), len(past))
    return {
        "id": name,
        "past": {"ds": [str(stamp) for stamp in stamps], "y": [None if math.isnan(value) else value for value in past.tolist()]},
        "future": {"ds": future["ds"].astype(str).tolist(), **future.drop(columns=["unique_id", "ds"]).to_dict("list")},
    }


def _members(study: Study, model: EnsembleForecaster) -> Record:
    """Tell who is in the ensemble and how the contest went, as the verb ``stack`` does."""
    told = summary(study, model.manifest_, [])
    return {"reason": None, **told, "effective_number": effective_number([member["weight"] for member in told["members"]])}

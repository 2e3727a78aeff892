"""What the forecasts hang on: covariates shuffled at origins that a member had not seen, and what its trees say themselves.

The run folder keeps no learner of a window, and those of ``ensemble/`` have seen all of them. So a member is fitted once more as the search did for
the newest window, on the rows before it, and asked for that window's forecasts again with one covariate after the other shuffled. The locked
test rows lie behind the window and are in none of this.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import Learner, build
from ensemble_forecast.metrics import cell_loss
from ensemble_forecast.search.trial import Stage, Stages, served
from ensemble_forecast.seeds import generator
from ensemble_forecast.store import Candidate
from ensemble_forecast.study import Study

LIMIT_S = 30.0  # for the fit and all shuffles of one member; what is left over is counted
REPEATS = 3  # shuffles of a covariate
TREES = ("xgboost",)

Record = dict[str, Any]


def drivers(study: Study, ids: Iterable[str]) -> Record:
    """Measure what the most trusted of some candidates need.

    Parameters
    ----------
    ids
        Candidates, the most trusted first. Measured are the first that reads covariates, and the first whose trees can tell contributions, among
        those whose fit on one window took less than half of `LIMIT_S`.

    Returns
    -------
    ``permutation`` (``id``, ``loss`` of the newest window, ``origins``, ``rows`` of name, ``loss`` when shuffled, its ``share`` of the loss and the
    ``spread`` over the shuffles, most important first, and how many covariates were ``left`` when the time was over) and ``contributions`` (``id``
    and ``rows`` of name and ``value``); each with a ``reason`` alone where it cannot be had.
    """
    candidates = [candidate for id in ids if _quick(candidate := study.folder.candidate(id))]
    stage = Stages(study.panel, study.task, study.plan_spec)[len(study.plan.folds) - 1]
    reading = next((each for each in candidates if _reads(build(each.config), study.panel)), None)
    growing = next((each for each in candidates if _leaf(each.config) in TREES), None)
    return {
        "permutation": _measured(permutation, reading, stage, study.task, "no member reads covariates, or none could be fitted again in time"),
        "contributions": _measured(contributions, growing, stage, study.task, "no member has boosted trees that tell contributions"),
    }


def permutation(candidate: Candidate, stage: Stage, task: Task) -> Record:
    """Shuffle one covariate after the other, by blocks of two horizons, and tell how much larger the loss becomes; see `drivers`."""
    deadline = Deadline.after(LIMIT_S)
    learner = build(candidate.config).fit(stage.train, stage.roles, task, deadline)
    loss = _loss(learner, stage.context, stage, task)
    columns = [("past", j, name) for j, name in enumerate(stage.context.past_names)]
    columns += [("known", j, name) for j, name in enumerate(stage.context.known_names)]
    rows: list[Record] = []
    for kind, column, name in columns:
        if deadline.passed():
            break
        losses = [_loss(learner, shuffled(stage.context, kind, column, task, repeat), stage, task) for repeat in range(REPEATS)]
        share = float(np.mean(losses)) / loss - 1
        rows.append({"name": name, "loss": float(np.mean(losses)), "share": share, "spread": float(np.ptp(losses)) / loss})
    rows.sort(key=lambda row: -row["share"])
    return {"reason": None, "id": candidate.id, "loss": loss, "origins": len(stage.score), "rows": rows, "left": len(columns) - len(rows)}


def contributions(candidate: Candidate, stage: Stage, task: Task) -> Record:
    """Ask the trees of a candidate what moves their forecasts of the newest window; see `drivers`."""
    learner = build(candidate.config).fit(stage.train, stage.roles, task, Deadline.after(LIMIT_S))
    told = learner.contributions(stage.context, stage.score)
    rows = [{"name": name, "value": value} for name, value in sorted(told.items(), key=lambda pair: -pair[1]) if value > 0]
    return {"reason": None, "id": candidate.id, "rows": rows}


def shuffled(panel: Panel, kind: str, column: int, task: Task, repeat: int) -> Panel:
    """Return a panel with one covariate in another order: blocks of two horizons of each series change places, and keep their inner order."""
    values = (panel.past if kind == "past" else panel.known).copy()
    for series in range(panel.n_series):
        first, last = int(panel.offsets[series]), int(panel.offsets[series + 1])
        blocks = [np.arange(start, min(start + 2 * task.horizon, last)) for start in range(first, last, 2 * task.horizon)]
        order = generator(task.seed, "shuffle", kind, column, series, repeat).permutation(len(blocks))
        if len(blocks):
            values[first:last, column] = values[np.concatenate([blocks[place] for place in order]), column]
    return replace(panel, past=values) if kind == "past" else replace(panel, known=values)


def _measured(measure: Callable[[Candidate, Stage, Task], Record], candidate: Candidate | None, stage: Stage, task: Task, absent: str) -> Record:
    """Measure a candidate; say why where there is none, or where what it was fitted with (weights in a file) is gone."""
    if candidate is None:
        return {"reason": absent}
    try:
        return measure(candidate, stage, task)
    except BadInput as error:
        return {"reason": f"{candidate.id} could not be fitted again: {error}"}


def _loss(learner: Learner, panel: Panel, stage: Stage, task: Task) -> float:
    """Mean loss at the scored origins of the window, as the search counts it."""
    forecast_NHQ, _ = served(learner.predict(panel, stage.score, Deadline.never()), stage.fallback_NHQ)
    return float(np.nanmean(cell_loss(stage.truth_NH, forecast_NHQ.astype(float), stage.scale_N, task.quantiles, task.kind)))


def _quick(candidate: Candidate) -> bool:
    """Whether one window took the candidate less than half of the time there is."""
    return bool(candidate.report["seconds"] / max(len(candidate.report["windows"]), 1) < LIMIT_S / 2)


def _reads(learner: Learner, panel: Panel) -> bool:
    """Whether a learner reads any of the covariates there are; nets may have been told not to."""
    inner = learner
    while hasattr(inner, "member"):
        inner = inner.member
    if not getattr(inner, "covariates", True):
        return False
    return bool((learner.uses_past and panel.past_names) or (learner.uses_known and panel.known_names))


def _leaf(config: Record) -> str:
    """Family of the learner within all wrappers."""
    while "member" in config["params"]:
        config = config["params"]["member"]
    return str(config["family"])

"""One configuration through all folds: what a worker does with it."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ensemble_forecast.data.origins import Origins, outcome
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import TooShort, TrialPruned
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.learners.base import Config, Size, build, describe, plain_curve, recipe_for_refit, training_of
from ensemble_forecast.metrics import cell_loss
from ensemble_forecast.registry import find
from ensemble_forecast.search import pruning
from ensemble_forecast.search.rungs import Rung, Watch
from ensemble_forecast.windows import Fold, Plan, Roles, plan, roles_until

Loss = float | None  # None: the window had nothing to score


@dataclass(frozen=True, eq=False)
class Stage:
    """One fold, laid out for learners: built once, shared by all trials of a worker."""

    window: int
    train: Panel
    roles: Roles
    context: Panel  # what forecasts may read: nothing after the last origin
    score: Origins
    truth_NH: np.ndarray
    scale_N: np.ndarray
    fallback_NHQ: np.ndarray


@dataclass(frozen=True, eq=False)
class Stages:
    """A panel cut into folds, each built when it is first needed."""

    panel: Panel
    task: Task
    plan_spec: dict[str, Any]

    @cached_property
    def plan(self) -> Plan:
        """Folds and locked test origins."""
        return plan(self.panel, self.task, **self.plan_spec)

    @cached_property
    def size(self) -> Size:
        """How much there is to learn and to forecast in the newest fold, the largest one."""
        newest = self[len(self.plan.folds) - 1]
        length = int(newest.train.typical_length)
        return Size(
            n_series=self.panel.n_series,
            n_fit=len(newest.roles.fit),
            n_scored=len(newest.score),
            length=length,
            n_past=self.panel.past.shape[1],
            n_known=self.panel.known.shape[1],
        )

    @cached_property
    def _built(self) -> dict[int, Stage]:
        return {}

    def __getitem__(self, window: int) -> Stage:
        if window not in self._built:
            self._built[window] = self._build(self.plan.folds[window])
        return self._built[window]

    def _build(self, fold: Fold) -> Stage:
        train = self.panel.cut(fold.cutoff_S, ahead=self.task.horizon)
        context = self.panel.cut(fold.until_S, ahead=self.task.horizon)
        roles = roles_until(train, self.task, fold.cutoff_S)
        return Stage(
            window=fold.window,
            train=train,
            roles=roles,
            context=context,
            score=fold.score,
            truth_NH=outcome(self.panel, fold.score, self.task),
            scale_N=scale_at(context, fold.score, self.task.season_length),
            fallback_NHQ=_fallback(train, roles, context, fold.score, self.task),
        )


@dataclass
class Outcome:
    """What a trial left behind, finished or not."""

    windows: list[Loss] = field(default_factory=list)
    forecasts: list[np.ndarray] = field(default_factory=list)
    truncated: bool = False
    unserved: int = 0
    refit: Config = field(default_factory=dict)
    fit_origins: int = 0
    curve: list[list[float | None]] | None = None  # of the first window's training, where the learner keeps one
    diagnosis: str | None = None
    work: float = 0.0  # of the windows that were fitted, as the learner estimates it
    work_s: float = 0.0  # seconds that these took, without what all trials share

    @property
    def value(self) -> float:
        """Mean loss over the windows."""
        return pruning.mean(self.windows)


def run_trial(
    config: Config,
    stages: Stages,
    metric: str,
    deadline: Deadline,
    bars: pruning.Bars,
    outcome: Outcome,
    rival_NHQ: np.ndarray | None = None,
    rungs: Sequence[Rung] = (),
) -> None:
    """Fit and score a configuration on every fold, oldest first.

    Parameters
    ----------
    bars
        Mean losses that stop it, after each window; see `pruning`.
    outcome
        Filled on the way, so that a trial that does not finish leaves its windows behind.
    rival_NHQ
        Forecasts of all scored origins that it must not be clearly worse than; None: it is not asked.
    rungs
        What the training of a net in the first window has to have reached after some seconds; see `rungs`.

    Raises
    ------
    TooShort
        When it serves not a single origin.
    TrialPruned
        When it cannot win any more.
    BadInput
        When the configuration is impossible.
    """
    n_folds = len(stages.plan.folds)
    work = build(config).work(stages.size, stages.task)
    for window in range(n_folds):
        stage = stages[window]
        begun = time.monotonic()
        within = deadline.within(deadline.left() / (n_folds - window))
        try:
            learner = build(config).fit(stage.train, stage.roles, stages.task, Watch.over(within, rungs) if window == 0 else within)
        except TrialPruned as error:
            outcome.curve = plain_curve(error.curve or [])
            raise
        outcome.refit, outcome.fit_origins = describe(recipe_for_refit(learner)), len(stage.roles.fit)
        if window == 0:
            outcome.curve, outcome.diagnosis = training_of(learner)
        outcome.truncated |= bool(getattr(learner, "truncated_", False))
        forecast_NHQ, unserved = served(learner.predict(stage.context, stage.score, deadline), stage.fallback_NHQ)
        outcome.work += work
        outcome.work_s += time.monotonic() - begun
        outcome.forecasts.append(forecast_NHQ)
        outcome.unserved += unserved
        outcome.windows.append(_loss(stage, forecast_NHQ, metric, stages.task))
        if window == n_folds - 1:
            break
        if (bar := bars[window] if window < len(bars) else None) is not None and outcome.value > bar:
            raise TrialPruned(f"after window {window} its mean loss {outcome.value:.4g} was above the bar of {bar:.4g}")
        if rival_NHQ is not None and _is_behind(stages, outcome, rival_NHQ):
            raise TrialPruned(f"after window {window} it was clearly worse than the incumbent, series by series")
    if outcome.unserved == sum(map(len, outcome.forecasts)):
        raise TooShort("it serves not a single origin of any window")
    if not math.isfinite(outcome.value):
        raise TooShort("no window has an observed target to score")


def _is_behind(stages: Stages, outcome: Outcome, rival_NHQ: np.ndarray) -> bool:
    """Whether the forecasts so far are clearly worse than a rival's of the same origins."""
    done = [stages[window] for window in range(len(outcome.forecasts))]
    own_NHQ, series_N = np.concatenate(outcome.forecasts), np.concatenate([stage.score.series for stage in done])
    truth_NH, scale_N = np.concatenate([stage.truth_NH for stage in done]), np.concatenate([stage.scale_N for stage in done])

    def losses(forecast_NHQ: np.ndarray) -> np.ndarray:
        known_NH = np.isfinite(truth_NH)
        loss_NH = cell_loss(truth_NH, forecast_NHQ.astype(float), scale_N, stages.task.quantiles, stages.task.kind)
        loss_N: np.ndarray = np.where(known_NH, loss_NH, 0.0).sum(axis=1) / np.where(known_NH.any(axis=1), known_NH.sum(axis=1), np.nan)
        return loss_N

    return pruning.clearly_worse(losses(own_NHQ), losses(rival_NHQ[: len(own_NHQ)]), series_N)


def origins_table(plan: Plan) -> np.ndarray:
    """Series, step and window of every row of ``forecasts.npy``: int64 (N, 3)."""
    return np.column_stack([plan.scored.series, plan.scored.step, plan.window_N]).astype(np.int64)


def served(forecast_NHQ: np.ndarray, fallback_NHQ: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the forecast as it is stored, rows that are not finite replaced by the fallback, and how many these were."""
    with np.errstate(over="ignore"):
        stored_NHQ = forecast_NHQ.astype(np.float32)
    missing_N = ~np.isfinite(stored_NHQ).all(axis=(1, 2))
    stored_NHQ[missing_N] = fallback_NHQ[missing_N]
    return stored_NHQ, int(missing_N.sum())


def _loss(stage: Stage, forecast_NHQ: np.ndarray, metric: str, task: Task) -> Loss:
    """Score one window; None where nothing was observed."""
    if not np.isfinite(stage.truth_NH).any():
        return None
    loss = float(find(metric, "metrics")(stage.truth_NH, forecast_NHQ.astype(float), stage.scale_N, task.quantiles))
    return loss if math.isfinite(loss) else None


def _fallback(train: Panel, roles: Roles, context: Panel, score: Origins, task: Task) -> np.ndarray:
    """Forecast of what a learner cannot serve: the seasonal naive's, or its last value without spread; a coin for directions. float32."""
    if task.kind == "direction":
        return np.full((len(score), task.horizon, task.n_outputs), 1 / task.n_outputs, dtype=np.float32)
    last_N = context.y_filled[score.rows(context)]
    flat_NHQ = np.broadcast_to(last_N[:, None, None], (len(score), task.horizon, task.n_outputs)).astype(np.float32)
    if not len(roles.fit):
        return flat_NHQ
    naive = find("seasonal_naive", "learners")().fit(train, roles, task, Deadline.never())
    return served(naive.predict(context, score, Deadline.never()), flat_NHQ)[0]

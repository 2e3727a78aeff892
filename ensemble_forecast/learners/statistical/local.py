"""What all statistical learners share: a point forecast computed from one history alone, spread into quantiles by its own past errors."""

import abc
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from ensemble_forecast.data.origins import Origins, outcome
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import TooShort
from ensemble_forecast.features.seasons import seasons_of
from ensemble_forecast.forecasts import tidy
from ensemble_forecast.learners.base import Learner, Size, check_fitted
from ensemble_forecast.learners.residuals import apply_table, learn_table, sample, spread_at
from ensemble_forecast.learners.statistical.histories import cap, forecast_points
from ensemble_forecast.windows import Roles

HISTORY_S = 1e-5  # seconds a history costs on a plain core, whatever is done with it
UPDATE_S = 3e-9  # seconds of one step of one history under one parameter set
PLAIN_SETS = 5  # parameter sets that the passes over time are worth besides
LONGEST_SEASON = 400  # a year of days; the next one, a year of hours, would need 35,000 steps a series


@dataclass(kw_only=True)
class LocalLearner(Learner, abc.ABC):
    """A learner that computes every forecast from one series' history; fitting only measures how wrong such forecasts were.

    For kind ``direction`` (the naive learner only) it forecasts the base rates of the classes at each horizon step.
    """

    group: ClassVar[str] = "statistical"
    learns_from_origins: ClassVar[bool] = False
    fit_origins: ClassVar[int] = 600  # past forecasts the quantiles are learnt from: so many give a decile to within 0.02

    @abc.abstractmethod
    def point(self, y_BL: np.ndarray, n_B: np.ndarray, season: int, horizon: int) -> np.ndarray:
        """Forecast a batch of histories, laid out as by ``histories``: float64 (B, H)."""

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:
        """Forecast from a sample of past origins and keep the quantiles of the errors, in units of the spread to expect."""
        chosen = sample(past_origins(self, roles, task), self.fit_origins, task.seed)
        self.season_ = season_of(self, panel, task)
        self.scale_season_, self.horizon_, self.kind_ = task.season_length, task.horizon, task.kind
        truth_NH = outcome(panel, chosen, task)
        if task.kind == "direction":
            self.table_HQ_ = _base_rates(truth_NH, task)
            self.truncated_ = False
            return self
        point_NH = forecast_points(self.point, panel, chosen, self.season_, task.horizon, deadline)
        self.table_HQ_ = learn_table(point_NH, truth_NH, spread_at(panel, chosen, task.season_length), task.quantiles)
        self.truncated_ = bool(deadline.passed())
        return self

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:  # noqa: ARG002
        """Forecast the origins: (N, H, Q); NaN rows where a series has no observation yet."""
        check_fitted(self)
        if self.kind_ == "direction":
            return np.repeat(self.table_HQ_[None], len(origins), axis=0)
        point_NH = forecast_points(self.point, panel, origins, self.season_, self.horizon_, Deadline.never())
        return apply_table(point_NH, spread_at(panel, origins, self.scale_season_), self.table_HQ_)

    def work(self, size: Size, task: Task) -> float:
        """Count the updates: histories x steps x parameter sets; see `Learner.work`."""
        histories = min(self.fit_origins, size.n_fit) + size.n_scored
        updates = histories * min(size.length, cap(task.season_length)) * (PLAIN_SETS + self.n_sets(task))
        return HISTORY_S * histories + UPDATE_S * updates

    def n_sets(self, task: Task) -> int:  # noqa: ARG002
        """Count the parameter sets that a history is smoothed under."""
        return 0


def past_origins(learner: Learner, roles: Roles, task: Task) -> Origins:
    """Collect the origins whose errors say what to expect.

    Raises
    ------
    TooShort
        When there is none.
    """
    past = _newer_half(_all_origins(roles))
    if not len(past):
        raise TooShort(f"{learner.family} needs one past origin with a horizon of {task.horizon} steps after it to learn its errors; none was given")
    return past


def season_of(learner: Learner, panel: Panel, task: Task) -> int:
    """Return the task's season; for a learner whose field ``long_season`` is set, the next cycle above it that the panel has history for."""
    if not getattr(learner, "long_season", False):  # a field of the seasonal learners only
        return task.season_length
    longer = [season for season in seasons_of(panel, task) if task.season_length < season <= LONGEST_SEASON]
    return longer[0] if longer else task.season_length


def _all_origins(roles: Roles) -> Origins:
    """Join both roles, sorted by series and step: errors are measured, nothing is fitted to them."""
    if roles.stop is None:
        return roles.fit
    both = Origins.joined([roles.fit, roles.stop])
    return both.take(np.lexsort((both.step, both.series)))


def _newer_half(origins: Origins) -> Origins:
    """Keep the origins in the newer half of each series: errors made with little history say nothing about forecasts made with more."""
    if not len(origins):
        return origins
    last_S = np.zeros(origins.series.max() + 1, dtype=np.int64)
    np.maximum.at(last_S, origins.series, origins.step)
    return origins.take(2 * origins.step >= last_S[origins.series])


def _base_rates(label_NH: np.ndarray, task: Task) -> np.ndarray:
    """Share of each class at each horizon step, with one of each added: (H, Q)."""
    count_HQ = (label_NH[..., None] == np.arange(task.n_outputs)).sum(axis=0) + 1
    return tidy(count_HQ / count_HQ.sum(axis=-1, keepdims=True), task)

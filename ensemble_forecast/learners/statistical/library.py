"""What the learners that come from statsforecast share: one fit a series, kept as numbers and carried forward to later origins.

The library works series by series and costs milliseconds to seconds a fit, so nothing is fitted twice. Its prediction intervals are not used:
quantiles come, as for the other statistical learners, from past errors. Those are measured honestly: the parameters behind a past forecast
were fitted on steps up to its origin or earlier, never on what it is compared with.
"""

import abc
import importlib
import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType, TracebackType
from typing import ClassVar, Self

import numpy as np

from ensemble_forecast.data.origins import Origins, outcome
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import MissingPackage
from ensemble_forecast.learners.base import Learner, Size, check_fitted
from ensemble_forecast.learners.residuals import apply_table, learn_table, sample, spread_at
from ensemble_forecast.learners.statistical.histories import bounded, cap
from ensemble_forecast.learners.statistical.local import past_origins, season_of
from ensemble_forecast.learners.statistical.memory import Memory, remember
from ensemble_forecast.seeds import generator
from ensemble_forecast.windows import Roles

ERROR_SERIES = 100  # series, and origins in all, that past errors are measured on: each series costs one more fit
ERROR_ORIGINS = 300
ERROR_SHARE = 0.3  # of the time a fit has, for measuring errors
REFUSALS = (ValueError, ArithmeticError, NotImplementedError, RuntimeError)


@dataclass(kw_only=True)
class LibraryLearner(Learner, abc.ABC):
    """A learner that lets statsforecast fit each series by itself.

    `fit` keeps a row of numbers a series. `predict` carries them forward to a later origin of the same series, where the family allows it; an
    origin before the end of what was fitted, and a series never seen, are fitted within the deadline. NaN is what the library cannot fit
    (`failed_` counts the series) and what the deadline leaves no time for.

    Raises
    ------
    MissingPackage
        When statsforecast is not installed.
    """

    group: ClassVar[str] = "statistical"
    learns_from_origins: ClassVar[bool] = False
    incomplete: ClassVar[tuple[str, ...]] = ("fits_",)  # NaN: no fit
    carries: ClassVar[bool] = True  # whether the parameters of a fit serve later origins of the same series too
    numbers: ClassVar[int]  # that describe a fitted model, at most

    def __post_init__(self) -> None:
        if find_spec("statsforecast") is None:
            raise MissingPackage(f"learner {self.family!r} needs statsforecast; install ensemble-forecast[statistical]")

    @abc.abstractmethod
    def fit_series(self, y_L: np.ndarray, seasons: list[int]) -> list[float]:
        """Fit a history that is not constant and holds two of each season (there may be none), and describe the model by numbers."""

    @abc.abstractmethod
    def forward(self, y_L: np.ndarray, numbers_P: np.ndarray, seasons: list[int], horizon: int) -> np.ndarray:
        """Forecast a history with a model that was fitted to its beginning, or to all of it: (H,)."""

    @abc.abstractmethod
    def seconds_a_step(self, season: int) -> float:
        """Tell about how long a fit takes for each step of its history."""

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:
        """Measure how wrong past forecasts were, then fit every series up to its last step."""
        past = past_origins(self, roles, task)
        self.seasons_ = sorted({season for season in (task.season_length, season_of(self, panel, task)) if season > 1})
        self.horizon_, self.scale_season_ = task.horizon, task.season_length
        chosen = _of_few_series(past, task.seed)
        point_NH = self._past_forecasts(panel, chosen, deadline.within(ERROR_SHARE * deadline.left()))
        self.table_HQ_ = learn_table(point_NH, outcome(panel, chosen, task), spread_at(panel, chosen, task.season_length), task.quantiles)
        self._fit_all(panel, deadline)
        return self

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:
        """Forecast the origins: (N, H, Q); first those that need no fit, the others while there is time."""
        check_fitted(self)
        if not hasattr(self, "_memory"):
            self._memory = Memory(self.fits_, self._longest)
        point_NH = np.full((len(origins), self.horizon_), np.nan)
        unknown = []
        for i, (series, step) in enumerate(zip(origins.series.tolist(), origins.step.tolist(), strict=True)):
            if deadline.passed():
                break
            y_L = _history(panel, series, step)
            match = self._memory.find(panel.ids[series], y_L)
            if match is None or not (self.carries or match.is_newest):
                unknown.append((i, y_L[-self._longest :]))
            else:
                point_NH[i] = self._forecast(y_L[match.begin :], match.numbers_P)
        for i, y_L in unknown:
            if deadline.passed():
                break
            point_NH[i] = self._forecast(y_L, self._describe(y_L))
        return apply_table(point_NH, spread_at(panel, origins, self.scale_season_), self.table_HQ_)

    def work(self, size: Size, task: Task) -> float:
        """Estimate the seconds of one fit a series, and of those behind the past errors."""
        steps = min(size.length, cap(task.season_length))
        fits = size.n_series + min(size.n_series, ERROR_SERIES) + size.n_scored  # each scored origin carries a fit forward
        if not self.carries:
            fits = max(size.n_series, size.n_scored) + min(size.n_fit, ERROR_ORIGINS)
        return fits * steps * self.seconds_a_step(task.season_length)

    @property
    def _longest(self) -> int:
        """Steps of history that are read, at most."""
        return cap(max(self.seasons_, default=1))

    def _fit_all(self, panel: Panel, deadline: Deadline) -> None:
        """Fit the series one after the other until the deadline."""
        histories = [_history(panel, series, int(panel.ends_S[series]))[-self._longest :] for series in range(panel.n_series)]
        numbers_SP = np.full((panel.n_series, self.numbers), np.nan)
        self.failed_, self.truncated_ = 0, False
        for series, y_L in enumerate(histories):
            if deadline.passed():
                self.truncated_ = True
                break
            numbers_SP[series] = self._describe(y_L)
            self.failed_ += int(not _is_flat(y_L) and np.isnan(numbers_SP[series]).all())
        self.fits_ = remember(panel.ids, histories, numbers_SP)
        vars(self).pop("_memory", None)

    def _past_forecasts(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:
        """Forecast past origins, with a fit at each, or at the first of each series: (N, H), NaN where time was short (one is always done)."""
        point_NH = np.full((len(origins), self.horizon_), np.nan)
        for n_done, series in enumerate(np.unique(origins.series).tolist()):
            if n_done and deadline.passed():
                break
            begin, numbers_P = 0, None
            for i in np.flatnonzero(origins.series == series).tolist():  # oldest first
                if numbers_P is not None and deadline.passed():
                    break
                y_L = _history(panel, series, int(origins.step[i]))
                if numbers_P is None or not self.carries:
                    begin = max(0, len(y_L) - self._longest)
                    numbers_P = self._describe(y_L[begin:])
                point_NH[i] = self._forecast(y_L[begin:], numbers_P)
        return point_NH

    def _describe(self, y_L: np.ndarray) -> np.ndarray:
        """Fit one history: (P,), NaN where there is nothing to fit or the library gives up."""
        numbers_P = np.full(self.numbers, np.nan)
        if not _is_flat(y_L):
            with GivingUp():
                found = self.fit_series(y_L, [season for season in self.seasons_ if len(y_L) >= 2 * season])
                numbers_P[: len(found)] = found
        return numbers_P

    def _forecast(self, y_L: np.ndarray, numbers_P: np.ndarray) -> np.ndarray:
        """Forecast one history, `bounded` by it: (H,), wholly NaN where the library gives up."""
        point_H = np.full(self.horizon_, np.nan)
        if _is_flat(y_L):
            point_H[:] = y_L[-1] if len(y_L) else np.nan
        elif np.isfinite(numbers_P).any():
            with GivingUp():
                found_H = self.forward(y_L, numbers_P, self.seasons_, self.horizon_)
                if np.isfinite(found_H).all():
                    point_H = bounded(found_H[None], y_L[None], np.array([len(y_L)]))[0]
        return point_H


class GivingUp(AbstractContextManager):
    """Context in which an error of the library means that it cannot fit this one series; its warnings about doubtful fits are left out.

    It says so by several errors, among them a plain ``Exception("no model able to be fitted")``: that very class counts, but of those derived
    from it only the ones named above, so that a mistake in this package is not taken for a doubtful series.
    """

    def __enter__(self) -> Self:
        self.quiet, self.errstate = warnings.catch_warnings(action="ignore"), np.errstate(all="ignore")
        self.quiet.__enter__()
        self.errstate.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        """Leave quietly what counts as giving up; let everything else pass."""
        self.errstate.__exit__(kind, error, trace)
        self.quiet.__exit__(kind, error, trace)
        return kind is not None and (kind is Exception or issubclass(kind, REFUSALS))


def models() -> ModuleType:
    """Import the library's models: seconds, hence not before they are needed."""
    return importlib.import_module("statsforecast.models")


def _history(panel: Panel, series: int, step: int) -> np.ndarray:
    """Return the target up to an origin from the first observed step on, gaps filled forward; empty where nothing was observed yet."""
    begin = int(panel.offsets[series])
    observed_L = np.isfinite(panel.y[begin : begin + step + 1])
    first = int(observed_L.argmax()) if observed_L.any() else step + 1
    return panel.y_filled[begin + first : begin + step + 1]


def _is_flat(y_L: np.ndarray) -> bool:
    """Whether there is nothing in a history that a model could be fitted to."""
    return bool(not len(y_L) or (y_L == y_L[0]).all())


def _of_few_series(origins: Origins, seed: int) -> Origins:
    """Draw origins from a limited number of series, evenly over time."""
    series = np.unique(origins.series)
    if len(series) > ERROR_SERIES:
        series = generator(seed, "error series").choice(series, ERROR_SERIES, replace=False)
    return sample(origins.take(np.isin(origins.series, series)), ERROR_ORIGINS, seed)

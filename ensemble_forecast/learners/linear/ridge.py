"""Ridge on normalised windows, in closed form: the first good answer of any study, within a second."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np

from ensemble_forecast.data.origins import Origins, outcome
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, TooShort
from ensemble_forecast.features.contexts import MIN_STEPS, scale_at
from ensemble_forecast.features.seasons import seasonal_naive
from ensemble_forecast.forecasts import residual_quantiles, tidy
from ensemble_forecast.learners.base import Learner, check_fitted
from ensemble_forecast.learners.linear.gram import Eigen
from ensemble_forecast.learners.linear.scaling import (
    CENTRES,
    LARGEST_INPUT,
    SCALES,
    centre_of,
    context_length,
    covariate_inputs,
    scale_of,
    windows_of,
)
from ensemble_forecast.learners.residuals import apply_table, sample
from ensemble_forecast.seeds import derive
from ensemble_forecast.windows import Roles

BASES = ("centre", "seasonal_naive")
MOST_WINDOWS = 80_000  # more change nothing, measured on M4
MOST_ENTRIES = 20_000_000  # of the input matrix: 160 MB
MOST_STOP_WINDOWS = 5_000
LARGEST_TARGET = 30.0
ROBUST_PASSES = 2
ROBUST_PENALTY = 0.01  # of the passes that only find row weights
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)  # the upper half is for noise such as returns
CAUTION = 0.25  # standard errors of a difference in loss that a larger penalty may cost; a whole one is too much for weak but real seasons
DEFAULT_PENALTY = 0.1  # where there is no stop role to choose by
BOUND = 0.02  # a linear model of a label is not to be believed nearer to 0 or 1
COIN_ROWS = 20  # independent labels' worth of belief in a fair coin
BLOCK = 4096  # origins forecast at a time: bounds memory, changes nothing else


@dataclass(frozen=True, eq=False)
class Inputs:
    """Normalised inputs (N, F) of some origins, and what turns a correction into a forecast."""

    x_NF: np.ndarray
    base_NH: np.ndarray
    scale_N: np.ndarray
    series_N: np.ndarray


@dataclass(kw_only=True)
class Ridge(Learner):
    """One linear map from normalised windows of all series to all horizon steps (Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634).

    A window is centred and scaled by what it shows itself; two further passes weigh rows by 1 / mean |residual|, which brings the squared loss
    near the absolute one. No normalisation wins everywhere: several of these learners in one study are worth more than any of them.

    For kind ``direction`` labels of -1 and 1 are regressed on the same inputs (a linear probability model). The penalty is chosen by the log
    loss of the stop role, so that without signal the probability shrinks to the base rate of its horizon step.

    Parameters
    ----------
    context
        Steps of a window; None: chosen from season, horizon and median length. Never above 0.6 median lengths.
    centre
        What is subtracted from a window: "last" value, mean of the last "season" or of the whole "window".
    base
        What a forecast corrects: "centre" or "seasonal_naive"; origins that carry a base overrule it.
    scale
        Unit of a window: "std", "mad" (its mean absolute seasonal change), "series" (the same of all history) or "level" (mean size).
    penalty
        In units of the mean Gram diagonal; None: chosen on the stop role.
    past_lags
        Last values of each past covariate that are inputs too.
    """

    family: ClassVar[str] = "ridge"
    group: ClassVar[str] = "linear"
    kinds: ClassVar[tuple[str, ...]] = ("quantiles", "direction")
    uses_past: ClassVar[bool] = True
    corrects: ClassVar[bool] = True
    SMOKE: ClassVar[dict[str, Any]] = {"context": 12}

    context: int | None = None
    centre: str = "last"
    base: str = "seasonal_naive"
    scale: str = "mad"
    penalty: float | None = None
    past_lags: int = 3

    def __post_init__(self) -> None:
        if self.centre not in CENTRES or self.base not in BASES or self.scale not in SCALES:
            raise BadInput(
                f"centre must be one of {CENTRES}, base one of {BASES}, scale one of {SCALES}; got {self.centre!r}, {self.base!r}, {self.scale!r}"
            )

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:  # noqa: ARG002
        """Solve the normal equations; see `Learner.fit`."""
        self.task_ = asdict(task)
        self.context_ = context_length(panel, task, self.context)
        self.stopped_: dict[str, float] = {}
        self.truncated_ = False
        width = self.context_ + self.past_lags * panel.past.shape[1]
        inputs, target_NH = self._problem(panel, roles.fit, task, min(MOST_WINDOWS, MOST_ENTRIES // width))
        if not len(target_NH):
            raise TooShort(
                f"ridge needs an origin with {MIN_STEPS} steps of history and a target after it; none of the {panel.n_series} series has one: "
                f"give more history or shorten the horizon ({task.horizon})"
            )
        eigen = _solve(inputs, target_NH, task, self.penalty or ROBUST_PENALTY)
        stop = None if roles.stop is None else self._problem(panel, roles.stop, task, MOST_STOP_WINDOWS)
        penalty = self.penalty
        if penalty is None:
            penalty = DEFAULT_PENALTY
            if stop is not None and len(stop[1]):
                penalty = _choose_penalty(eigen, *stop, task)
                self.stopped_ = {"penalty": penalty}
        self.mean_, self.coefficients_ = eigen.mean_F, eigen.coefficients(penalty)
        self.intercept_, self.table_ = eigen.intercept_H, np.empty((0, 0))
        if task.kind == "quantiles":
            self.table_ = self._residual_table(inputs, target_NH, stop, eigen.freedom(penalty), task)
        else:
            self.intercept_ = self.intercept_ * _trust(len(target_NH) / task.horizon)
        return self

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:  # noqa: ARG002
        """Forecast from each origin; see `Learner.predict`."""
        check_fitted(self)
        task = Task(**self.task_)
        forecast_NHQ = np.full((len(origins), task.horizon, task.n_outputs), np.nan)
        for first in range(0, len(origins), BLOCK):
            block = slice(first, first + BLOCK)
            inputs = self._inputs(panel, origins.take(block), task)
            output_NH = self.intercept_ + _times(inputs.x_NF - self.mean_, self.coefficients_)
            if task.kind == "direction":
                up_NH = _probability(output_NH)
                forecast_NHQ[block] = np.stack([1 - up_NH, up_NH], axis=2)
            else:
                point_NH = inputs.base_NH + inputs.scale_N[:, None] * np.clip(output_NH, -LARGEST_TARGET, LARGEST_TARGET)
                forecast_NHQ[block] = apply_table(point_NH, inputs.scale_N, self.table_)
        forecast_NHQ[origins.step + 1 < MIN_STEPS] = np.nan
        return tidy(forecast_NHQ, task)

    def _inputs(self, panel: Panel, origins: Origins, task: Task) -> Inputs:
        """Normalise the windows before some origins."""
        window_NL = windows_of(panel, origins, self.context_)
        series_N = scale_at(panel, origins, task.season_length)
        unit = min(task.season_length if task.season_length > 1 else max(task.horizon, 5), self.context_)
        centre_N = centre_of(window_NL, self.centre, unit)
        scale_N = scale_of(window_NL, series_N, self.scale, task.season_length)
        x_NL = np.clip((window_NL - centre_N[:, None]) / scale_N[:, None], -LARGEST_INPUT, LARGEST_INPUT)
        if origins.base_NH is not None:
            base_NH = origins.base_NH
        elif self.base == "seasonal_naive":
            base_NH = seasonal_naive(panel, origins, task.horizon, task.season_length)
        else:
            base_NH = np.repeat(centre_N[:, None], task.horizon, axis=1)
        past_NK = covariate_inputs(panel, origins, self.context_, min(self.past_lags, self.context_))
        return Inputs(np.concatenate([x_NL, past_NK], axis=1), base_NH, scale_N, series_N)

    def _problem(self, panel: Panel, origins: Origins, task: Task, at_most: int) -> tuple[Inputs, np.ndarray]:
        """Build inputs and targets (NH: scaled corrections or labels of -1 and 1, NaN where missing) of origins that have any target."""
        usable_N = (origins.step + 1 >= MIN_STEPS) & np.isfinite(outcome(panel, origins, task)).any(axis=1)
        origins = sample(origins.take(usable_N), at_most, derive(task.seed, "ridge"))
        inputs, outcome_NH = self._inputs(panel, origins, task), outcome(panel, origins, task)
        if task.kind == "direction":
            return inputs, 2 * outcome_NH - 1
        return inputs, np.clip((outcome_NH - inputs.base_NH) / inputs.scale_N[:, None], -LARGEST_TARGET, LARGEST_TARGET)

    def _residual_table(
        self, inputs: Inputs, target_NH: np.ndarray, stop: tuple[Inputs, np.ndarray] | None, freedom: float, task: Task
    ) -> np.ndarray:
        """Quantiles of the residuals in window units: of the fit rows, inflated by the degrees of freedom they cost, and of the stop rows."""
        n_rows = len(target_NH)
        inflation = np.sqrt(n_rows / max(n_rows - freedom, 0.25 * n_rows))
        pools = [inflation * (target_NH - self._output(inputs))]
        if stop is not None:
            pools.append(stop[1] - self._output(stop[0]))
        return residual_quantiles(np.concatenate(pools), task.quantiles)

    def _output(self, inputs: Inputs) -> np.ndarray:
        return self.intercept_ + (inputs.x_NF - self.mean_) @ self.coefficients_


def _solve(inputs: Inputs, target_NH: np.ndarray, task: Task, penalty: float) -> Eigen:
    """Decompose the problem after the robust passes; a missing target takes the value that the pass before fitted to it, and so pulls nowhere."""
    missing_NH = np.isnan(target_NH)
    filled_NH = np.where(missing_NH, 0.0, target_NH)
    if task.kind == "direction":  # labels have no outliers
        return Eigen.of(inputs.x_NF, filled_NH, np.ones(len(filled_NH)))
    even_N = np.clip(inputs.scale_N / inputs.series_N, 0.2, 5.0)  # brings the loss near MASE
    eigen = Eigen.of(inputs.x_NF, filled_NH, even_N)
    for _ in range(ROBUST_PASSES):
        fitted_NH = eigen.intercept_H + (inputs.x_NF - eigen.mean_F) @ eigen.coefficients(penalty)
        filled_NH = np.where(missing_NH, fitted_NH, filled_NH)
        size_N = np.abs(filled_NH - fitted_NH).mean(axis=1)
        eigen = Eigen.of(inputs.x_NF, filled_NH, even_N / np.maximum(size_N, max(0.3 * float(np.median(size_N)), 1e-9)))
    return eigen


def _choose_penalty(eigen: Eigen, inputs: Inputs, target_NH: np.ndarray, task: Task) -> float:
    """Choose the largest penalty whose loss on the stop rows is as good as the best, within a share of the standard error."""
    losses = []
    for penalty in PENALTIES:
        output_NH = eigen.intercept_H + (inputs.x_NF - eigen.mean_F) @ eigen.coefficients(penalty)
        if task.kind == "direction":
            loss_NH = -np.log(np.where(target_NH > 0, _probability(output_NH), 1 - _probability(output_NH)))
        else:
            loss_NH = np.abs(target_NH - output_NH) * np.clip(inputs.scale_N / inputs.series_N, 0.2, 5.0)[:, None]
        known_NH = np.isfinite(target_NH)
        losses.append(np.where(known_NH, loss_NH, 0.0).sum(axis=1) / known_NH.sum(axis=1))
    loss_PN = np.stack(losses)
    excess_PN = loss_PN - loss_PN[loss_PN.mean(axis=1).argmin()]
    n_independent = max(len(target_NH) / task.horizon, 1.0)  # targets of neighbouring origins overlap
    error_P = excess_PN.std(axis=1) / np.sqrt(n_independent)
    return PENALTIES[int(np.flatnonzero(excess_PN.mean(axis=1) <= CAUTION * error_P).max())]


def _probability(output_NH: np.ndarray) -> np.ndarray:
    """Read the probability of up off a regression on labels of -1 and 1."""
    return np.clip((1 + output_NH) / 2, BOUND, 1 - BOUND)


def _trust(n_independent: float) -> float:
    """How far a base rate from so many independent labels is believed against a fair coin."""
    return n_independent / (n_independent + COIN_ROWS)


def _times(x_NF: np.ndarray, coefficients_FH: np.ndarray) -> np.ndarray:
    """Multiply row by row: a matrix product of all rows would round one row differently depending on how many others there are."""
    return np.matmul(x_NF[:, None, :], coefficients_FH)[:, 0]

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
from ensemble_forecast.learners.base import Learner, Size, check_fitted
from ensemble_forecast.learners.linear import effects
from ensemble_forecast.learners.linear.effects import Frame, KnownEffect
from ensemble_forecast.learners.linear.problem import ROBUST_PENALTY, Inputs, Problem, choose_penalty, probability, solve
from ensemble_forecast.learners.linear.scaling import (
    CENTRES,
    LARGEST_INPUT,
    LONGEST_SHARE,
    SCALES,
    centre_steps,
    context_length,
    covariate_inputs,
    scale_of,
    static_inputs,
    windows_of,
)
from ensemble_forecast.learners.residuals import apply_table, sample
from ensemble_forecast.seeds import derive
from ensemble_forecast.windows import Roles

BASES = ("centre", "seasonal_naive")
MOST_WINDOWS = 80_000  # more change nothing, measured on M4
MOST_ENTRIES = 20_000_000  # of the input matrix: 160 MB
INPUT_S, STEP_S = 9e-8, 6e-8  # seconds on a plain core, all passes together: of an input of a row, and of a step of its target
MOST_STOP_WINDOWS = 5_000
LARGEST_TARGET = 30.0
DEFAULT_PENALTY = 0.1  # where there is no stop role to choose by
COIN_ROWS = 20  # independent labels' worth of belief in a fair coin
BLOCK = 4096  # origins forecast at a time: bounds memory, changes nothing else


@dataclass(kw_only=True)
class Ridge(Learner):
    """One linear map from normalised windows of all series to all horizon steps (Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634).

    A window is centred and scaled by what it shows itself; two further passes weigh rows by 1 / mean |residual|, which brings the squared loss
    near the absolute one. No normalisation wins everywhere: several of these learners in one study are worth more than any of them.

    For kind ``direction`` labels of -1 and 1 are regressed on the same inputs (a linear probability model). The penalty is chosen by the log
    loss of unseen rows, so that without signal the probability shrinks to the base rate of its horizon step.

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
        In units of the mean Gram diagonal; None: chosen on rows that it was not learnt from.
    past_lags
        Last values of each past covariate that are inputs too.
    half_life
        Age at which an origin weighs half, as a share of the median history; None: all weigh alike. Measured, a quarter against None: SQL
        -0.5 % (tourism_monthly), -0.4 % (m1_quarterly), -0.7 % (m4_weekly), 0 (etth1), +0.7 % (m3_yearly).
    """

    family: ClassVar[str] = "ridge"
    group: ClassVar[str] = "linear"
    kinds: ClassVar[tuple[str, ...]] = ("quantiles", "direction")
    uses_past: ClassVar[bool] = True
    uses_known: ClassVar[bool] = True
    corrects: ClassVar[bool] = True
    SMOKE: ClassVar[dict[str, Any]] = {"context": 12}

    context: int | None = None
    centre: str = "last"
    base: str = "seasonal_naive"
    scale: str = "mad"
    penalty: float | None = None
    past_lags: int = 3
    half_life: float | None = None

    def __post_init__(self) -> None:
        if self.centre not in CENTRES or self.base not in BASES or self.scale not in SCALES:
            raise BadInput(
                f"centre must be one of {CENTRES}, base one of {BASES}, scale one of {SCALES}; got {self.centre!r}, {self.base!r}, {self.scale!r}"
            )
        if self.half_life is not None and not self.half_life > 0:
            raise BadInput(f"half_life must be above 0, as a share of the median history, or None; got {self.half_life!r}")

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:  # noqa: ARG002
        """Solve the normal equations; see `Learner.fit`."""
        self.task_ = asdict(task)
        self.context_ = context_length(panel, task, self.context)
        self.stopped_: dict[str, float] = {}
        self.truncated_ = False
        self.static_ = {"mean": panel.static.mean(axis=0), "spread": panel.static.std(axis=0)}
        self.known_ = vars(KnownEffect.none(panel))
        width = self.context_ + self.past_lags * panel.past.shape[1]
        at_most = min(MOST_WINDOWS, MOST_ENTRIES // width)
        if panel.known_names:
            self.known_ = vars(self._learn_effect(panel, self._problem(panel, roles.fit, task, min(at_most, effects.MOST_WINDOWS)), task))
        problem = self._problem(panel, roles.fit, task, at_most)
        if not len(problem):
            raise TooShort(
                f"ridge needs an origin with {MIN_STEPS} steps of history and a target after it; none of the {panel.n_series} series has one: "
                f"give more history or shorten the horizon ({task.horizon})"
            )
        solved = solve(problem, task, self.penalty or ROBUST_PENALTY)
        eigen = solved.eigen
        stop = None if roles.stop is None else self._problem(panel, roles.stop, task, MOST_STOP_WINDOWS)
        penalty = self.penalty
        if penalty is None:
            penalty = DEFAULT_PENALTY
            if stop is not None and len(stop):
                penalty = choose_penalty(solved, problem, stop, task)
                self.stopped_ = {"penalty": penalty}
        self.mean_, self.coefficients_ = eigen.mean_F, eigen.coefficients(penalty)
        self.intercept_, self.table_ = eigen.intercept_H, np.empty((0, 0))
        if task.kind == "quantiles":
            self.table_ = self._residual_table(problem, stop, eigen.freedom(penalty), task)
        else:
            self.intercept_ = self.intercept_ * _trust(len(problem) / task.horizon)
        return self

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:  # noqa: ARG002
        """Forecast from each origin; see `Learner.predict`."""
        check_fitted(self)
        task = Task(**self.task_)
        forecast_NHQ = np.full((len(origins), task.horizon, task.n_outputs), np.nan)
        for first in range(0, len(origins), BLOCK):
            block = slice(first, first + BLOCK)
            inputs = self._inputs(panel, origins.take(block), task)
            output_NH = self.intercept_ + _times(inputs.x_NF - self.mean_, self.coefficients_) + inputs.shift_NH
            if task.kind == "direction":
                up_NH = probability(output_NH)
                forecast_NHQ[block] = np.stack([1 - up_NH, up_NH], axis=2)
            else:
                point_NH = inputs.base_NH + inputs.scale_N[:, None] * np.clip(output_NH, -LARGEST_TARGET, LARGEST_TARGET)
                forecast_NHQ[block] = apply_table(point_NH, inputs.scale_N, self.table_)
        forecast_NHQ[origins.step + 1 < MIN_STEPS] = np.nan
        return tidy(forecast_NHQ, task)

    def work(self, size: Size, task: Task) -> float:
        """Count inputs and outputs of all rows; see `Learner.work`."""
        wanted = self.context or max(4 * task.horizon, 3 * task.season_length, 8)
        width = max(2, min(wanted, int(LONGEST_SHARE * size.length))) + self.past_lags * size.n_past
        rows = min(size.n_fit, MOST_WINDOWS, MOST_ENTRIES // width)
        return (rows + size.n_scored) * (INPUT_S * width + STEP_S * task.horizon)

    def _inputs(self, panel: Panel, origins: Origins, task: Task) -> Inputs:
        """Normalise the windows before some origins."""
        window_NL = windows_of(panel, origins, self.context_)
        series_N = scale_at(panel, origins, task.season_length)
        centre_N = window_NL[:, -centre_steps(self.centre, self.context_, self._unit(task)) :].mean(axis=1)
        scale_N = scale_of(window_NL, series_N, self.scale, task.season_length)
        x_NL = (window_NL - centre_N[:, None]) / scale_N[:, None]
        if origins.base_NH is not None:
            base_NH = origins.base_NH
        elif self.base == "seasonal_naive":
            base_NH = seasonal_naive(panel, origins, task.horizon, task.season_length)
        else:
            base_NH = np.repeat(centre_N[:, None], task.horizon, axis=1)
        shift_NH = np.zeros(base_NH.shape)
        if panel.known_names:
            effect, frame = KnownEffect(**self.known_).of_rows(panel), self._frame(origins, task)
            shift_NH = frame.ahead_of(effect, panel, origins, task.horizon)
            if task.kind == "quantiles":  # a label's effect is not one on the level
                unit_N1 = (series_N / scale_N)[:, None]
                shift_NH, x_NL = unit_N1 * shift_NH, x_NL - unit_N1 * frame.window_of(effect, panel, origins)
        past_NK = covariate_inputs(panel, origins, self.context_, min(self.past_lags, self.context_))
        static_NK = static_inputs(panel, origins, self.static_["mean"], self.static_["spread"])
        x_NF = np.concatenate([np.clip(x_NL, -LARGEST_INPUT, LARGEST_INPUT), past_NK, static_NK], axis=1)
        return Inputs(x_NF, base_NH, shift_NH, scale_N, series_N)

    def _frame(self, origins: Origins, task: Task) -> Frame:
        """Say what windows are centred on and what they correct; a label compares with the last value."""
        if task.kind == "direction":
            return Frame(self.context_, 1, None)
        steps = centre_steps(self.centre, self.context_, self._unit(task))
        own_season = task.season_length if self.base == "seasonal_naive" and origins.base_NH is None else None
        return Frame(self.context_, steps, own_season)

    def _unit(self, task: Task) -> int:
        """Count the steps of a cycle, or what stands for one without a season."""
        return min(task.season_length if task.season_length > 1 else max(task.horizon, 5), self.context_)

    def _problem(self, panel: Panel, origins: Origins, task: Task, at_most: int) -> Problem:
        """Build the problem of at most so many origins."""
        usable_N = (origins.step + 1 >= MIN_STEPS) & np.isfinite(outcome(panel, origins, task)).any(axis=1)
        origins = sample(origins.take(usable_N), at_most, derive(task.seed, "ridge"))
        inputs, outcome_NH = self._inputs(panel, origins, task), outcome(panel, origins, task)
        target_NH = 2 * outcome_NH - 1
        if task.kind == "quantiles":
            target_NH = (outcome_NH - inputs.base_NH) / inputs.scale_N[:, None]
        target_NH = np.clip(target_NH - inputs.shift_NH, -LARGEST_TARGET, LARGEST_TARGET)
        return Problem(origins, inputs, target_NH, self._weights(panel, origins, inputs, task))

    def _weights(self, panel: Panel, origins: Origins, inputs: Inputs, task: Task) -> np.ndarray:
        """Weigh rows so that the loss is near a scaled one, and the old ones less where asked."""
        weight_N = inputs.weight_N if task.kind == "quantiles" else np.ones(len(origins))
        if self.half_life is not None:
            age_N = panel.ends_S[origins.series] - origins.step
            weight_N = weight_N * 0.5 ** (age_N / (self.half_life * panel.typical_length))
        return weight_N

    def _learn_effect(self, panel: Panel, problem: Problem, task: Task) -> KnownEffect:
        """Learn what the known covariates do."""
        effect = KnownEffect(**self.known_)
        if not len(problem):
            return effect
        origins, frame = problem.origins, self._frame(problem.origins, task)
        ahead_NHK = np.stack([frame.ahead_of(values, panel, origins, task.horizon) for values in effect.columns(panel)], axis=2)
        if task.kind == "quantiles":
            ahead_NHK = ahead_NHK * (problem.inputs.series_N / problem.inputs.scale_N)[:, None, None]
        weight_N = solve(problem, task, ROBUST_PENALTY).weight_N

        def cleaned(effect: KnownEffect) -> tuple[np.ndarray, np.ndarray]:
            self.known_ = vars(effect)
            again = self._problem(panel, origins, task, len(origins))
            return again.inputs.x_NF, again.target_NH

        return effects.learn(effect, cleaned, weight_N, ahead_NHK)

    def _residual_table(self, problem: Problem, stop: Problem | None, freedom: float, task: Task) -> np.ndarray:
        """Quantiles of the residuals in window units: of the fit rows, inflated by the degrees of freedom they cost, and of the stop rows."""
        n_rows = len(problem)
        inflation = np.sqrt(n_rows / max(n_rows - freedom, 0.25 * n_rows))
        pools = [inflation * (problem.target_NH - self._output(problem.inputs))]
        if stop is not None:
            pools.append(stop.target_NH - self._output(stop.inputs))
        return residual_quantiles(np.concatenate(pools), task.quantiles)

    def _output(self, inputs: Inputs) -> np.ndarray:
        return self.intercept_ + (inputs.x_NF - self.mean_) @ self.coefficients_


def _trust(n_independent: float) -> float:
    """How far a base rate from so many independent labels is believed against a fair coin."""
    return n_independent / (n_independent + COIN_ROWS)


def _times(x_NF: np.ndarray, coefficients_FH: np.ndarray) -> np.ndarray:
    """Multiply row by row: a matrix product of all rows would round one row differently depending on how many others there are."""
    return np.matmul(x_NF[:, None, :], coefficients_FH)[:, 0]

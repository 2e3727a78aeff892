"""Gradient-boosted trees by XGBoost, with the horizon as a feature; the only module that knows the library."""

from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, ClassVar, Self

import numpy as np
import xgboost

from ensemble_forecast.data.origins import Origins, outcome
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.tabular import Layout
from ensemble_forecast.learners.base import Learner, check_fitted
from ensemble_forecast.learners.residuals import apply_table, learn_table, sample
from ensemble_forecast.learners.trees.rows import BASES, Grid, Rows, forecast_grids, full_grid, hold_out, learnable, training_rows
from ensemble_forecast.seeds import derive
from ensemble_forecast.windows import Roles

OBJECTIVES = ("absolute", "quantile")
PATIENCE = 40  # rounds without gain on the stop role
STOP_ROWS = 30_000  # (origin, step) rows judged after every round, and pooled for the residual table


@dataclass(kw_only=True)
class Xgboost(Learner):
    """One booster for all series and horizon steps, on scaled features, correcting a base forecast (Chen and Guestrin 2016, arXiv:1603.02754).

    Trees cannot extrapolate, so the target is the scaled correction to the seasonal naive, to the last value, or to the base that the
    origins carry.

    Parameters
    ----------
    rounds
        Boosting rounds; the most there may be where a stop role is given.
    objective
        "absolute": the median by absolute error, quantiles by a table of held-out residuals in units of the window's scale; "quantile":
        quantile loss at five of the levels, the others interpolated in normal scores. Kind ``direction`` always uses the log loss.
    rows
        Most training rows, sampled evenly over series, time and horizon.
    """

    family: ClassVar[str] = "xgboost"
    group: ClassVar[str] = "trees"
    kinds: ClassVar[tuple[str, ...]] = ("quantiles", "direction")
    uses_past: ClassVar[bool] = True
    uses_known: ClassVar[bool] = True
    corrects: ClassVar[bool] = True
    SMOKE: ClassVar[dict[str, Any]] = {"rounds": 12, "depth": 3, "rows": 2000}

    rounds: int = 300
    depth: int = 6
    eta: float = 0.06
    subsample: float = 0.7
    colsample: float = 0.6
    min_child_weight: float = 20.0
    reg_lambda: float = 5.0
    max_bin: int = 64
    base: str = "seasonal_naive"
    objective: str = "absolute"
    rows: int = 150_000

    def __post_init__(self) -> None:
        if self.base not in BASES or self.objective not in OBJECTIVES:
            raise BadInput(f"base must be one of {BASES} and objective one of {OBJECTIVES}; got {self.base!r} and {self.objective!r}")

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:
        """Boost until the stop role stops gaining; see `Learner.fit`."""
        layout = Layout.of(panel, task)
        self.task_, self.layout_, self.table_ = asdict(task), asdict(layout), np.empty((0, 0))
        self.stopped_: dict[str, int] = {}
        self.truncated_ = False
        self._booster: Any = None  # cache of the live booster; booster_ holds its bytes
        rows = training_rows(panel, roles.fit, task, layout, self.base, self.rows, "xgboost")
        judged = roles.fit
        needs_table = task.kind == "quantiles" and self.objective == "absolute"
        if roles.stop is not None and learnable(panel, roles.stop, task):
            judged = _judged(roles.stop, task)
            booster = witness = self._boost(rows, task, deadline, training_rows(panel, judged, task, layout, self.base, STOP_ROWS, "xgboost-stop"))
            self.stopped_ = {"rounds": booster.num_boosted_rounds()}
        else:
            booster = witness = self._boost(rows, task, deadline, None)
            twin, held = hold_out(roles.fit, task)
            if needs_table and learnable(panel, twin, task) and learnable(panel, held, task):  # residuals of a twin that did not see these origins
                judged = _judged(held, task)
                witness = self._boost(training_rows(panel, twin, task, layout, self.base, self.rows, "xgboost"), task, deadline, None)
        if needs_table:
            self.table_ = self._residual_table(witness, panel, judged, task, layout)
        self.booster_ = np.frombuffer(booster.save_raw(raw_format="ubj"), dtype=np.uint8).copy()
        return self

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:  # noqa: ARG002
        """Forecast from each origin; see `Learner.predict`."""
        check_fitted(self)
        task, layout = Task(**self.task_), Layout(**self.layout_)
        return forecast_grids(lambda grid: self._forecast(grid, task), panel, origins, task, layout, self.base)

    def _boost(self, rows: Rows, task: Task, deadline: Deadline, stop: Rows | None) -> xgboost.Booster:
        """Train a booster, cut at the round that is best on the stop rows."""
        params = {
            "max_depth": self.depth,
            "eta": self.eta,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample,
            "min_child_weight": self.min_child_weight,
            "reg_lambda": self.reg_lambda,
            "max_bin": self.max_bin,
            "tree_method": "hist",
            "nthread": 1,
            "verbosity": 0,
            "seed": derive(task.seed, "xgboost") >> 1,  # it takes 31 bits
            **self._objective(task),
        }
        matrix = xgboost.QuantileDMatrix(rows.x_RF, rows.target_R, weight=rows.weight_R, max_bin=self.max_bin, nthread=1)
        clock = _Clock(deadline)
        if stop is None:
            booster = xgboost.train(params, matrix, num_boost_round=self.rounds, callbacks=[clock])
        else:
            watched = xgboost.QuantileDMatrix(stop.x_RF, stop.target_R, weight=stop.weight_R, max_bin=self.max_bin, nthread=1, ref=matrix)
            stopper = xgboost.callback.EarlyStopping(rounds=PATIENCE)
            booster = xgboost.train(
                params, matrix, num_boost_round=self.rounds, evals=[(watched, "stop")], verbose_eval=False, callbacks=[stopper, clock]
            )
            booster = booster[: booster.best_iteration + 1]
        self.truncated_ = self.truncated_ or clock.cut
        return booster

    def _objective(self, task: Task) -> dict[str, Any]:
        if task.kind == "direction":
            return {"objective": "binary:logistic", "eval_metric": "logloss"}
        if self.objective == "quantile":
            return {"objective": "reg:quantileerror", "quantile_alpha": _native_levels(task.quantiles), "eval_metric": "quantile"}
        return {"objective": "reg:absoluteerror", "eval_metric": "mae"}

    def _residual_table(self, booster: xgboost.Booster, panel: Panel, origins: Origins, task: Task, layout: Layout) -> np.ndarray:
        """Quantiles of (truth - point) / window scale for each horizon step."""
        grid = full_grid(panel, origins, task, layout, self.base)
        point_NH = np.where(grid.served_N[:, None], grid.restore(_outputs(booster, grid)[..., 0]), np.nan)
        return learn_table(point_NH, outcome(panel, origins, task), grid.scale_N, task.quantiles)

    def _forecast(self, grid: Grid, task: Task) -> np.ndarray:
        """Quantiles or class probabilities of a grid: NHQ."""
        if getattr(self, "_booster", None) is None:
            self._booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(self.booster_.tobytes()))
        output_NHK = _outputs(self._booster, grid)
        if task.kind == "direction":
            return np.concatenate([1 - output_NHK, output_NHK], axis=2)
        if self.objective == "absolute":
            return apply_table(grid.restore(output_NHK[..., 0]), grid.scale_N, self.table_)
        native_Q = _native_levels(task.quantiles)
        spread_NHK = grid.base_NH[..., None] + grid.scale_N[:, None, None] * np.sort(output_NHK, axis=2)
        return spread_NHK @ _interpolation(native_Q, task.quantiles)


class _Clock(xgboost.callback.TrainingCallback):
    """Ends training when the time is over."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline, self.cut = deadline, False

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
        self.cut = self.deadline.passed()
        return self.cut


def _judged(origins: Origins, task: Task) -> Origins:
    """Draw the origins that judge every round and are pooled for the residual table."""
    return sample(origins, max(STOP_ROWS // task.horizon, 1), derive(task.seed, "xgboost", "stop"))


def _outputs(booster: xgboost.Booster, grid: Grid) -> np.ndarray:
    """Raw outputs of a booster on a grid: float64 (N, H, outputs)."""
    return booster.inplace_predict(grid.x_RF).astype(float).reshape(*grid.base_NH.shape, -1)


def _native_levels(quantiles: tuple[float, ...]) -> list[float]:
    """Pick the levels that are trained: the outermost, the median, and those halfway."""
    middle, last = quantiles.index(0.5), len(quantiles) - 1
    chosen = {round(position) for position in (0, middle / 2, middle, (middle + last) / 2, last)}
    return [float(quantiles[position]) for position in sorted(chosen)]  # numpy floats break xgboost's parser


def _interpolation(native: list[float], quantiles: tuple[float, ...]) -> np.ndarray:
    """Weights (native levels, Q) that interpolate linearly in normal scores."""
    score = NormalDist().inv_cdf
    nodes = [score(level) for level in native]
    columns = [np.interp([score(level) for level in quantiles], nodes, unit) for unit in np.eye(len(native))]
    return np.stack(columns)

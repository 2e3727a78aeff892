"""What scikit-learn's estimators share as forecasters: tabular rows in, a scaled correction to a base out, quantiles by held-out residuals."""

import abc
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.dummy import DummyClassifier

from ensemble_forecast.data.origins import Origins, outcome
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.tabular import Layout
from ensemble_forecast.forecasts import normalise
from ensemble_forecast.learners.base import Learner, check_fitted
from ensemble_forecast.learners.residuals import apply_table, learn_table, sample
from ensemble_forecast.learners.trees.belief import CONFIDENCES, DEFAULT_CONFIDENCE, balanced, base_rates, put_back
from ensemble_forecast.learners.trees.packing import pack, unpack
from ensemble_forecast.learners.trees.rows import (
    BASES,
    LARGEST_TARGET,
    Grid,
    Rows,
    forecast_grids,
    full_grid,
    hold_out,
    learnable,
    training_rows,
)
from ensemble_forecast.metrics import cross_entropy
from ensemble_forecast.seeds import derive
from ensemble_forecast.windows import Roles

STOP_ROWS = 20_000  # (origin, step) rows that early stopping reads, and that are pooled for the residual table
READ_ROWS = 1024  # that an estimator is asked for at a time
BOUND = 0.02  # a probability is not to be believed nearer to 0 or 1: neighbours and small leaves are sure of themselves too soon
CAUTION = 1.0  # standard errors of a difference in loss that less belief may cost: on noise the best belief is luck


@dataclass(kw_only=True)
class Corrector(Learner):
    """One estimator for all series and horizon steps, on scaled features, correcting a base forecast.

    The forecast is the median, base + scale x output; quantiles come from a table of errors, in units of the window's scale, on origins that the
    estimator did not see. Kind ``direction``: the shares of the classes, pulled towards the base rates of their horizon step.

    Parameters
    ----------
    base
        What is corrected: "seasonal_naive" or "last"; origins that carry a base overrule it.
    rows
        Most training rows, sampled evenly over series, time and horizon.
    confidence
        Kind ``direction`` only: how much of a deviation from the base rate is believed; None: chosen on the stop role.
    balanced
        Kind ``direction`` only: let all classes weigh the same in training, and put forecasts back to the rates that were met.
    """

    group: ClassVar[str] = "trees"
    kinds: ClassVar[tuple[str, ...]] = ("quantiles", "direction", "barrier")
    uses_past: ClassVar[bool] = True
    uses_known: ClassVar[bool] = True
    corrects: ClassVar[bool] = True

    base: str = "seasonal_naive"
    rows: int = 50_000
    confidence: float | None = None
    balanced: bool = False

    def __post_init__(self) -> None:
        if self.base not in BASES:
            raise BadInput(f"base must be one of {BASES}; got {self.base!r}")

    @abc.abstractmethod
    def _train(self, rows: Rows, stop: Rows | None, task: Task, deadline: Deadline) -> Any:
        """Train an estimator; where there are stop rows, end where they stop gaining and say so in ``stopped_``."""

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:
        """Train on the fit role, learn the spread of errors on origins it did not see; see `Learner.fit`."""
        layout = Layout.of(panel, task)
        self.task_, self.layout_, self.table_ = asdict(task), asdict(layout), np.empty((0, 0))
        self.stopped_: dict[str, Any] = {}
        self.truncated_ = False
        rows = training_rows(panel, roles.fit, task, layout, self.base, self.rows, self.family)
        judged, stop = roles.fit, None
        if roles.stop is not None and learnable(panel, roles.stop, task):
            judged = self._judged(roles.stop, task)
            stop = training_rows(panel, judged, task, layout, self.base, STOP_ROWS, f"{self.family}-stop")
        if task.kind == "direction":
            self.rate_ = base_rates(rows, task)
            if self.balanced:
                rows, stop = balanced(rows, self.rate_), None if stop is None else balanced(stop, self.rate_)
        estimator = witness = self._estimator(rows, stop, task, deadline)
        if task.kind == "direction":
            self.confidence_ = self._choose_confidence(estimator, stop)
        else:
            if stop is None:
                twin, held = hold_out(roles.fit, task)
                if learnable(panel, twin, task) and learnable(panel, held, task):  # residuals of a twin that did not see these origins
                    judged = held
                    own = training_rows(panel, twin, task, layout, self.base, self.rows, self.family)
                    witness = self._estimator(own, None, task, deadline)
            self.table_ = self._residual_table(witness, panel, self._judged(judged, task), task, layout)
        self.packed_ = pack([estimator])
        self._estimators = [estimator]  # cache of the live object; packed_ holds its bytes
        return self

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:  # noqa: ARG002
        """Forecast from each origin; see `Learner.predict`."""
        check_fitted(self)
        if getattr(self, "_estimators", None) is None:
            self.revive(())
        task, layout = Task(**self.task_), Layout(**self.layout_)
        return forecast_grids(lambda grid: self._forecast(grid, task), panel, origins, task, layout, self.base)

    def revive(self, allow: tuple[str, ...]) -> None:
        """Rebuild the estimator from its bytes, trusting nothing but our list and what is allowed.

        Raises
        ------
        BadInput
            When the bytes hold a type that is not trusted.
        """
        self._estimators = unpack(self.packed_, allow)

    def _estimator(self, rows: Rows, stop: Rows | None, task: Task, deadline: Deadline) -> Any:
        """Train; labels that are all the same need no estimator, and few can learn from them."""
        if task.kind == "direction" and len(np.unique(rows.target_R)) == 1:
            return DummyClassifier(strategy="prior").fit(rows.x_RF, rows.target_R)
        return self._train(rows, stop, task, deadline)

    def _judged(self, origins: Origins, task: Task) -> Origins:
        """Draw the origins that early stopping reads, and that are pooled for the residual table."""
        return sample(origins, max(STOP_ROWS // task.horizon, 1), derive(task.seed, self.family, "stop"))

    def _forecast(self, grid: Grid, task: Task) -> np.ndarray:
        """Quantiles or class probabilities of a grid: NHQ."""
        if task.kind == "direction":
            share_NHQ = _outputs(self._estimators[0], grid.x_RF, task.n_outputs).reshape(*grid.base_NH.shape, -1)
            return _believed(self._met(share_NHQ, self.rate_), self.rate_, self.confidence_)
        output_NH = _outputs(self._estimators[0], grid.x_RF).reshape(grid.base_NH.shape)
        return apply_table(grid.restore(np.clip(output_NH, -LARGEST_TARGET, LARGEST_TARGET)), grid.scale_N, self.table_)

    def _met(self, share: np.ndarray, rate: np.ndarray) -> np.ndarray:
        """Read the shares that an estimator gives as those at the rates that were met."""
        return put_back(share, rate) if self.balanced else share

    def _residual_table(self, estimator: Any, panel: Panel, origins: Origins, task: Task, layout: Layout) -> np.ndarray:
        """Quantiles of (truth - point) / window scale for each horizon step."""
        grid = full_grid(panel, origins, task, layout, self.base)
        output_NH = np.clip(_outputs(estimator, grid.x_RF).reshape(grid.base_NH.shape), -LARGEST_TARGET, LARGEST_TARGET)
        point_NH = np.where(grid.served_N[:, None], grid.restore(output_NH), np.nan)
        return learn_table(point_NH, outcome(panel, origins, task), grid.scale_N, task.quantiles)

    def _choose_confidence(self, estimator: Any, stop: Rows | None) -> float:
        """Choose the least belief in deviations from the base rate whose loss on the stop role is as good as the best, within a standard error."""
        if self.confidence is not None:
            return self.confidence
        if stop is None:
            return DEFAULT_CONFIDENCE
        rate_RQ = self.rate_[stop.ahead_R - 1]
        share_RQ = self._met(_outputs(estimator, stop.x_RF, rate_RQ.shape[1]), rate_RQ)
        loss_KR = [cross_entropy(stop.target_R, _believed(share_RQ, rate_RQ, confidence)) for confidence in CONFIDENCES]
        excess_KR = np.stack(loss_KR) - loss_KR[int(np.argmin([loss_R.mean() for loss_R in loss_KR]))]
        error_K = excess_KR.std(axis=1) / np.sqrt(max(len(share_RQ) / len(self.rate_), 1.0))  # targets of neighbouring origins overlap
        self.stopped_["confidence"] = CONFIDENCES[int(np.flatnonzero(excess_KR.mean(axis=1) <= CAUTION * error_K).min())]
        return self.stopped_["confidence"]


def _outputs(estimator: Any, x_RF: np.ndarray, n_classes: int = 0) -> np.ndarray:
    """Read an estimator in blocks of always as many rows: the correction, float64 (R,), or the shares of so many classes, (R, Q).

    A matrix product rounds a row differently depending on how many others there are, so the last block is padded.
    """
    output_R = np.empty((len(x_RF), n_classes) if n_classes else len(x_RF))
    for first in range(0, len(x_RF), READ_ROWS):
        block_RF = x_RF[first : first + READ_ROWS]
        padded_RF = np.concatenate([block_RF, np.zeros((READ_ROWS - len(block_RF), x_RF.shape[1]), dtype=x_RF.dtype)])
        read_R = shares(estimator, padded_RF, n_classes) if n_classes else np.asarray(estimator.predict(padded_RF), dtype=float).reshape(READ_ROWS)
        output_R[first : first + READ_ROWS] = read_R[: len(block_RF)]
    return output_R


def shares(estimator: Any, x_RF: np.ndarray, n_classes: int) -> np.ndarray:
    """Ask a classifier for the shares of all classes, those that it never met included, or a regressor of a label for that of up: (R, Q)."""
    if not is_classifier(estimator):
        up_R = np.clip(np.asarray(estimator.predict(x_RF), dtype=float).reshape(len(x_RF)), 0.0, 1.0)
        return np.stack([1 - up_R, up_R], axis=1)
    share_RQ = np.zeros((len(x_RF), n_classes))
    share_RQ[:, np.asarray(estimator.classes_).astype(int)] = estimator.predict_proba(x_RF)
    return share_RQ


def _believed(share: np.ndarray, rate: np.ndarray, confidence: float) -> np.ndarray:
    """Pull shares towards base rates; classes on the last axis."""
    return normalise(np.clip(rate + confidence * (share - rate), BOUND, 1 - BOUND))

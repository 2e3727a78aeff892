"""Gradient boosting by XGBoost: how trees are grown, for how long, and who witnesses their errors; it and `margins` alone know the library."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
import xgboost

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import Learner
from ensemble_forecast.learners.residuals import sample
from ensemble_forecast.learners.trees.rows import Rows, hold_out, learnable, rehearsal
from ensemble_forecast.learners.trees.vetting import vet
from ensemble_forecast.seeds import derive
from ensemble_forecast.windows import Roles

PATIENCE = 40  # rounds without gain on the rows that judge
ROUND_S, LEVEL_S = 1.25e-7, 1.3e-8  # seconds a row costs on a plain core in a round, and in each level of its tree
STOP_ROWS = 30_000  # (origin, step) rows judged after every round, and pooled for the residual table
ABSOLUTE = {"objective": "reg:absoluteerror", "eval_metric": "mae"}
Spread = tuple[tuple[float, ...], ...]  # a residual table, (H, Q), in units of the window's scale: plain data that a recipe can carry


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How trees are grown: what every boosted learner searches, and how it is written for the library."""

    rounds: int
    depth: int
    eta: float
    subsample: float
    colsample: float
    min_child_weight: float
    reg_lambda: float
    max_bin: int

    def params(self, objective: dict[str, Any], seed: int) -> dict[str, Any]:
        """Translate into the library's own names."""
        return {
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
            "seed": seed >> 1,  # it takes 31 bits
            **objective,
        }


@dataclass(frozen=True, eq=False)
class Grown:
    """A trained booster, and whether the deadline cut it short."""

    booster: xgboost.Booster
    truncated: bool

    @property
    def rounds(self) -> int:
        """Rounds it has."""
        return int(self.booster.num_boosted_rounds())


def grow(growth: Growth, objective: dict[str, Any], seed: int, rows: Rows, deadline: Deadline, stop: Rows | None = None) -> Grown:
    """Boost ``growth.rounds`` rounds; where there are stop rows, end and cut where they stop gaining."""
    params = growth.params(objective, seed)
    matrix = xgboost.QuantileDMatrix(rows.x_RF, rows.target_R, weight=rows.weight_R, max_bin=growth.max_bin, nthread=1)
    clock = _Clock(deadline)
    if stop is None:
        return Grown(xgboost.train(params, matrix, num_boost_round=growth.rounds, callbacks=[clock]), clock.cut)
    watched = xgboost.QuantileDMatrix(stop.x_RF, stop.target_R, weight=stop.weight_R, max_bin=growth.max_bin, nthread=1, ref=matrix)
    callbacks = [xgboost.callback.EarlyStopping(rounds=PATIENCE), clock]
    booster = xgboost.train(params, matrix, num_boost_round=growth.rounds, evals=[(watched, "stop")], verbose_eval=False, callbacks=callbacks)
    return Grown(booster[: booster.best_iteration + 1], clock.cut)


@dataclass(frozen=True, eq=False)
class Trained:
    """A booster that forecasts, and a witness of its errors: a booster that did not see the targets of the origins it is judged at."""

    booster: xgboost.Booster
    witness: xgboost.Booster
    judged: Origins
    truncated: bool


def train(
    growth: Growth,
    objective: dict[str, Any],
    rows_at: Callable[[Origins, int, str], Rows],
    at_most: int,
    panel: Panel,
    roles: Roles,
    task: Task,
    deadline: Deadline,
    *,
    needs_witness: bool,
) -> Trained:
    """Boost as long as it pays: until a rehearsal, or else the stop role, stops gaining; all rounds where there is no stop role.

    Parameters
    ----------
    rows_at
        Draws training rows at origins: at most so many, from a stream of random numbers of that name.
    needs_witness
        Without a stop role a witness takes a second booster; False: the booster stands for it, and has seen all it is judged at.
    """
    seed = derive(task.seed, "xgboost")
    rows = rows_at(roles.fit, at_most, "xgboost")
    if roles.stop is None or not learnable(panel, roles.stop, task):
        grown = grow(growth, objective, seed, rows, deadline)
        twin, held = hold_out(roles.fit, task)
        if needs_witness and learnable(panel, twin, task) and learnable(panel, held, task):
            witness = grow(growth, objective, seed, rows_at(twin, at_most, "xgboost"), deadline)
            return Trained(grown.booster, witness.booster, _judged(held, task), grown.truncated or witness.truncated)
        return Trained(grown.booster, grown.booster, _judged(roles.fit, task), grown.truncated)
    split = rehearsal(roles.fit, roles.stop, task)
    if split and all(learnable(panel, origins, task) for origins in split):
        judged, earlier = _judged(split[1], task), rows_at(split[0], at_most, "xgboost")
        half = deadline.within(deadline.left() / 2)
        first = grow(growth, objective, seed, earlier, half, rows_at(judged, STOP_ROWS, "xgboost-stop"))
        longer = max(len(rows.target_R) / len(earlier.target_R), 1.0) ** 0.5  # more data bear more trees
        rounds = min(growth.rounds, max(1, round(first.rounds * longer)))
        grown = grow(replace(growth, rounds=rounds), objective, seed, rows, deadline)
        return Trained(grown.booster, first.booster, judged, first.truncated or grown.truncated)
    judged = _judged(roles.stop, task)
    grown = grow(growth, objective, seed, rows, deadline, rows_at(judged, STOP_ROWS, "xgboost-stop"))
    return Trained(grown.booster, grown.booster, judged, grown.truncated)


@dataclass(kw_only=True)
class BoostedTrees(Learner):
    """What learners that hold one booster share: how its trees are grown, and how it is kept."""

    group: ClassVar[str] = "trees"

    rounds: int = 300
    depth: int = 6
    eta: float = 0.06
    subsample: float = 0.7
    colsample: float = 0.6
    min_child_weight: float = 20.0
    reg_lambda: float = 5.0
    max_bin: int = 64
    spread: Spread | None = None

    def _growth(self) -> Growth:
        """Read off how the trees are grown."""
        return Growth(**{field.name: getattr(self, field.name) for field in fields(Growth)})

    def _keep(self, trained: Trained, table: np.ndarray, panel: Panel, roles: Roles, task: Task) -> None:
        """Keep a booster as plain data with the table of its errors, and what a refit is to know."""
        self.table_ = table
        self.stopped_ = what_stopped(trained, table, panel, roles, task)
        self.truncated_ = trained.truncated
        self.booster_ = to_bytes(trained.booster)
        self._booster: Any = None  # cache of the live booster; booster_ holds its bytes

    def revive(self, allow: tuple[str, ...]) -> None:  # noqa: ARG002
        """Rebuild the booster of a file; see `from_foreign_bytes`."""
        self._booster = from_foreign_bytes(self.booster_)

    def _live(self) -> xgboost.Booster:
        """Return the booster, rebuilt once."""
        if getattr(self, "_booster", None) is None:
            self._booster = from_bytes(self.booster_)
        return self._booster


def given_table(spread: Spread, task: Task) -> np.ndarray:
    """Return the residual table a recipe carries: (H, Q).

    Raises
    ------
    BadInput
        When it is that of another task.
    """
    table_HQ = np.array(spread, dtype=float)
    if table_HQ.shape != (task.horizon, len(task.quantiles)):
        raise BadInput(
            f"spread must hold a row for each of {task.horizon} steps ahead and a column for each of {len(task.quantiles)} levels; got shape "
            f"{table_HQ.shape}: leave it out, and it is learnt"
        )
    return table_HQ


def what_stopped(trained: Trained, table_HQ: np.ndarray, panel: Panel, roles: Roles, task: Task) -> dict[str, Any]:
    """Tell a refit what only a stop role can: the rounds, and the spread of errors on targets nobody trained on; nothing without a stop role."""
    if roles.stop is None or not learnable(panel, roles.stop, task):
        return {}
    spread = {"spread": tuple(map(tuple, table_HQ.tolist()))} if table_HQ.size else {}
    return {"rounds": trained.booster.num_boosted_rounds(), **spread}


def to_bytes(booster: xgboost.Booster) -> np.ndarray:
    """Write a booster as plain data: uint8."""
    return np.frombuffer(booster.save_raw(raw_format="ubj"), dtype=np.uint8).copy()


def from_bytes(written: np.ndarray) -> xgboost.Booster:
    """Rebuild a booster that `to_bytes` wrote."""
    return xgboost.Booster({"nthread": 1}, model_file=bytearray(written.tobytes()))


def from_foreign_bytes(written: np.ndarray) -> xgboost.Booster:
    """Rebuild a booster that a file holds.

    Raises
    ------
    BadInput
        When the bytes are no booster, or its trees are none; see `vet`.
    """
    vet(written)
    try:
        return from_bytes(written)
    except xgboost.core.XGBoostError as error:
        raise BadInput(f"the bytes of a booster are damaged ({str(error).splitlines()[0]}); make the artefact again") from error


def outputs(booster: xgboost.Booster, x_RF: np.ndarray) -> np.ndarray:
    """Raw outputs of a booster for each row: float64 (R, outputs)."""
    return booster.inplace_predict(x_RF).astype(float).reshape(len(x_RF), -1)


def mean_contributions(booster: xgboost.Booster, x_RF: np.ndarray) -> np.ndarray:
    """Mean over rows and outputs of each column's absolute SHAP value: float64 (F,) (Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9)."""
    contribution = booster.predict(xgboost.DMatrix(x_RF, nthread=1), pred_contribs=True)  # (R, F + 1), or (R, outputs, F + 1); the last is the bias
    means: np.ndarray = np.abs(contribution[..., :-1]).reshape(-1, x_RF.shape[1]).mean(axis=0, dtype=float)
    return means


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

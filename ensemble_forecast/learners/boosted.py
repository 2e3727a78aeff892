"""Boosting over families: each stage forecasts what the stages before it leave over."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import Learner, Size, check_fitted, read_off, recipe_for_refit
from ensemble_forecast.metrics import median_of
from ensemble_forecast.seeds import generator
from ensemble_forecast.windows import MANY_SERIES, Roles

PARTS = 3  # cross-fitting parts: every stage but the last is fitted PARTS + 1 times


@dataclass(kw_only=True)
class Boosted(Learner):
    """A chain of learners of different groups, each fitted on the out-of-fold residuals of those before.

    Stagewise additive modelling (Friedman 2001, doi:10.1214/aos/1013203451) with three departures: the stages are different families;
    a stage's residuals on its own training origins come from copies that did not see them (cross-fitting), since a flexible stage would
    leave nothing over otherwise; and there is no shrinkage, because the contest decides on the whole chain. The last stage brings the
    quantiles.

    Cross-fitting leaves out whole series on a panel, and blocks of time on a few series: there a part is trained on both sides of the
    block, with 2 H origins purged on each side. It only ever sees origins of the fit role.
    """

    family: ClassVar[str] = "boosted"
    SMOKE: ClassVar[dict[str, Any]] = {"stages": [{"family": "seasonal_naive", "params": {}}, {"family": "ridge", "params": {}}]}

    stages: tuple[Learner, ...]

    def __post_init__(self) -> None:
        stuck = [stage.family for stage in self.stages[1:] if not stage.corrects]
        if len(self.stages) < 2 or stuck:
            raise BadInput(
                f"a boosted chain needs two stages or more, all but the first able to correct a forecast; unable: {', '.join(stuck) or 'none'}"
            )

    group = read_off(lambda self: self.stages[-1].group)  # it brings the quantiles
    corrects = read_off(lambda self: self.stages[0].corrects)  # it can start from a base forecast
    uses_past = read_off(lambda self: any(stage.uses_past for stage in self.stages))
    uses_known = read_off(lambda self: any(stage.uses_known for stage in self.stages))

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:
        """Fit stage after stage; see `Learner.fit`."""
        self.quantiles_ = list(task.quantiles)
        self.stages_: list[Learner] = []
        for position, recipe in enumerate(self.stages):
            share = deadline.within(deadline.left() / (len(self.stages) - position))
            last = position == len(self.stages) - 1
            fitted = replace(recipe).fit(panel, roles, task, share if last else share.within(share.left() / (PARTS + 1)))
            self.stages_.append(fitted)
            if not last:
                stop = None if roles.stop is None else replace(roles.stop, base_NH=self._point(fitted, panel, roles.stop, deadline))
                roles = Roles(self._cross_fit(fitted, panel, roles.fit, task, share), stop)
        self.stopped_ = {"stages": tuple(recipe_for_refit(stage) for stage in self.stages_)}
        self.truncated_ = any(getattr(stage, "truncated_", False) for stage in self.stages_)
        return self

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:
        """Pass the growing forecast along the chain; see `Learner.predict`."""
        check_fitted(self)
        for stage in self.stages_[:-1]:
            origins = replace(origins, base_NH=self._point(stage, panel, origins, deadline))
        return self.stages_[-1].predict(panel, origins, deadline)

    def work(self, size: Size, task: Task) -> float:
        """Count every fit of every stage, and the forecasts that the next stage corrects; see `Learner.work`."""
        total = self.stages[-1].work(size, task)
        for stage in self.stages[:-1]:
            every_origin = replace(size, n_scored=size.n_fit + size.n_scored)
            total += stage.work(every_origin, task) + (PARTS * stage.work(size, task) if stage.learns_from_origins else 0.0)
        return total

    def memory(self, size: Size, task: Task) -> float:
        """Take the largest of the stages, which train one after the other; see `Learner.memory`."""
        return max(stage.memory(size, task) for stage in self.stages)

    def _point(self, stage: Learner, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:
        return median_of(stage.predict(panel, origins, deadline), tuple(self.quantiles_))

    def _cross_fit(self, fitted: Learner, panel: Panel, origins: Origins, task: Task, deadline: Deadline) -> Origins:
        """Attach to every origin the forecast of a copy that was not fitted on it."""
        if not fitted.learns_from_origins:  # it reads the history before an origin and nothing else: out of fold by nature
            return replace(origins, base_NH=self._point(fitted, panel, origins, deadline))
        base_NH = np.full((len(origins), task.horizon), np.nan)
        for own, others in _parts(origins, task):
            copy = recipe_for_refit(fitted).fit(panel, Roles(origins.take(others)), task, deadline.within(deadline.left() / 2))
            base_NH[own] = self._point(copy, panel, origins.take(own), deadline)
        served = np.isfinite(base_NH).all(axis=1)
        return replace(origins, base_NH=base_NH).take(served)


def _parts(origins: Origins, task: Task) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split origins into (predicted, fitted-on) masks: by series on a panel, else by blocks of time with 2 H purged around each."""
    series = np.unique(origins.series)
    if len(series) >= MANY_SERIES:
        part_of = generator(task.seed, "cross-fit").integers(0, PARTS, size=series.max() + 1)[origins.series]
        return [(part_of == part, part_of != part) for part in range(PARTS)]
    edges = np.quantile(origins.step, np.linspace(0, 1, PARTS + 1)[1:-1])
    part_of = np.searchsorted(edges, origins.step, side="right")
    masks = []
    for part in range(PARTS):
        own = part_of == part
        first, last = origins.step[own].min(), origins.step[own].max()
        clear = (origins.step < first - 2 * task.horizon) | (origins.step > last + 2 * task.horizon)
        masks.append((own, clear))
    return masks

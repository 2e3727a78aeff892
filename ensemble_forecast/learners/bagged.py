"""Bagging: copies of one learner, each fitted on a block bootstrap of the origins, averaged."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import TooShort
from ensemble_forecast.learners.base import Learner, Size, Wrapper, check_fitted, recipe_for_refit
from ensemble_forecast.seeds import derive, generator
from ensemble_forecast.windows import Roles, block_bootstrap


@dataclass(kw_only=True)
class Bagged(Wrapper):
    """Average of ``copies`` fits of a member on resampled origins (Breiman 1996, doi:10.1007/BF00058655).

    Departure from the paper: neighbouring origins share most of their context, so whole blocks are drawn. All copies stop early on the
    same origins; a refit uses the length that the first copy found.
    """

    family: ClassVar[str] = "bagged"
    SMOKE: ClassVar[dict[str, Any]] = {"copies": 2, "member": {"family": "ridge", "params": {}}}

    member: Learner
    copies: int = 8

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:
        """Fit every copy; see `Learner.fit` and `Learner.fit_many`."""
        if not len(roles.fit):
            raise TooShort("bagging needs at least one origin to fit on")
        block = max(2 * task.horizon, round(len(roles.fit) ** (1 / 3)))
        draws = [block_bootstrap(len(roles.fit), block, generator(task.seed, "bag", copy)) for copy in range(self.copies)]
        tasks = [replace(task, seed=derive(task.seed, "bag", copy)) for copy in range(self.copies)]
        self.members_ = self.member.fit_many(panel, [roles.fit.take(drawn) for drawn in draws], roles.stop, tasks, deadline)
        self.stopped_ = {"member": recipe_for_refit(self.members_[0])}
        self.truncated_ = len(self.members_) < self.copies or any(getattr(member, "truncated_", False) for member in self.members_)
        return self

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:
        """Average the copies' forecasts quantile by quantile; see `Learner.predict`."""
        check_fitted(self)
        total_NHQ = sum(member.predict(panel, origins, deadline) for member in self.members_)
        return np.asarray(total_NHQ) / len(self.members_)

    def contributions(self, panel: Panel, origins: Origins) -> dict[str, float]:
        """Average what the copies tell, who all have the same inputs but for what each selected; see `Learner.contributions`."""
        told = [member.contributions(panel, origins) for member in self.members_]
        return {name: sum(each.get(name, 0.0) for each in told) / len(told) for name in dict.fromkeys(name for each in told for name in each)}

    def work(self, size: Size, task: Task) -> float:
        """Count every copy; see `Learner.work`."""
        return self.copies * self.member.work(size, task)

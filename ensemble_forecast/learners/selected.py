"""A learner that is shown the past covariates that earned it, and no others."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from ensemble_forecast.data.origins import Origins, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, TooShort
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.features.ranks import correlation, ranks
from ensemble_forecast.learners.base import Learner, Showing, Size, recipe_for_refit
from ensemble_forecast.seeds import generator
from ensemble_forecast.windows import Roles, block_bootstrap

DRAWS = 20
MOST_ORIGINS = 8000  # evenly spaced ones, when there are more: ranks change no more
CELL_S = 4e-8  # seconds that an origin and a covariate cost in each draw


@dataclass(kw_only=True)
class Selected(Showing):
    """Select past covariates on the origins of `fit` alone, and hand the member a panel with these.

    What counts is how a covariate at the origin goes with what follows: the larger of its absolute rank correlations with the mean change over the
    horizon and with the size of that change, since quantiles need both. Of two covariates whose own rank correlation is above ``redundancy``, the
    less relevant goes. Of the rest those stay that are among the ``most`` most relevant in at least a share ``stability`` of block bootstrap draws
    (stability selection: Meinshausen and Buehlmann 2010, doi:10.1111/j.1467-9868.2010.00740.x, with blocks in place of halves, since neighbouring
    origins share their labels); where none is that stable, the one drawn most often.

    Parameters
    ----------
    member
        Any learner that reads past covariates.
    most
        Covariates to keep, at most.
    redundancy
        Absolute rank correlation, 0 to 1.
    stability
        Share of the draws, 0 to 1.
    """

    family: ClassVar[str] = "selected"
    SMOKE: ClassVar[dict[str, Any]] = {"member": {"family": "ridge", "params": {}}, "most": 1}

    member: Learner
    most: int = 30
    redundancy: float = 0.9
    stability: float = 0.6

    def __post_init__(self) -> None:
        if not self.member.uses_past:
            raise BadInput(f"selected needs a member that reads past covariates, and {self.member.family} does not")
        if self.most < 1 or not 0 <= self.redundancy <= 1 or not 0 <= self.stability <= 1:
            raise BadInput(f"selected needs most of 1 or more, redundancy and stability within 0 and 1; got {self}")

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:
        """Select, then fit the member on what is left; see `Learner.fit`."""
        if not len(roles.fit):
            raise TooShort("selection needs at least one origin to fit on")
        self.kept_ = [panel.past_names[j] for j in self._select(panel, roles.fit, task)] if panel.past_names else []
        self.member_ = replace(self.member).fit(self._shown(panel), roles, task, deadline)
        self.stopped_ = {"member": recipe_for_refit(self.member_)}
        self.truncated_ = bool(getattr(self.member_, "truncated_", False))
        return self

    def work(self, size: Size, task: Task) -> float:
        """Add the selection to the member's work on fewer covariates; see `Learner.work`."""
        selecting_s = DRAWS * min(size.n_fit, MOST_ORIGINS) * size.n_past * CELL_S
        return selecting_s + self.member.work(self._selected(size), task)

    def memory(self, size: Size, task: Task) -> float:
        """Take what the member does with fewer covariates; see `Learner.memory`."""
        return self.member.memory(self._selected(size), task)

    def _selected(self, size: Size) -> Size:
        return replace(size, n_past=min(size.n_past, self.most))

    def _shown(self, panel: Panel) -> Panel:
        """Leave out every past covariate that was not kept."""
        kept = [panel.past_names.index(name) for name in self.kept_]
        return replace(panel, past=panel.past[:, kept], past_names=tuple(self.kept_))

    def _select(self, panel: Panel, origins: Origins, task: Task) -> list[int]:
        """Choose columns of the past covariates, in their order."""
        origins = origins.spread(MOST_ORIGINS)
        x_NF, label_N2 = ranks(panel.past[origins.rows(panel)]), ranks(_labels(panel, origins, task))
        relevance_F = _relevance(x_NF, label_N2)
        left = _without_doubles(x_NF, relevance_F, self.redundancy)
        block = max(2 * task.horizon, round(len(x_NF) ** (1 / 3)))
        drawn = np.zeros(len(left))
        for draw in range(DRAWS):
            rows = block_bootstrap(len(x_NF), block, generator(task.seed, "select", draw))
            best = np.argsort(-_relevance(x_NF[np.ix_(rows, left)], label_N2[rows]), kind="stable")[: self.most]
            drawn[best] += 1 / DRAWS
        ranked = np.lexsort((-relevance_F[left], -drawn))[: self.most]
        stable = ranked[drawn[ranked] >= self.stability - 1e-9]
        return sorted(left[stable if len(stable) else ranked[:1]].tolist())


def _labels(panel: Panel, origins: Origins, task: Task) -> np.ndarray:
    """Mean change over the horizon in units of the series' scale, and its size: (N, 2), NaN where nothing is known."""
    change_NH = truth(panel, origins, task.horizon) - panel.y_filled[origins.rows(panel)][:, None]
    known_NH = np.isfinite(change_NH)
    change_N = np.where(known_NH, change_NH, 0.0).sum(axis=1) / np.maximum(known_NH.sum(axis=1), 1)
    change_N = np.where(known_NH.any(axis=1), change_N / scale_at(panel, origins, task.season_length), np.nan)
    return np.stack([change_N, np.abs(change_N)], axis=1)


def _relevance(x_NF: np.ndarray, label_N2: np.ndarray) -> np.ndarray:
    """Larger of the absolute correlations with the labels, about the means of these rows: (F,)."""
    relevance_F: np.ndarray = np.abs(correlation(x_NF - x_NF.mean(axis=0), label_N2 - label_N2.mean(axis=0))).max(axis=1)
    return relevance_F


def _without_doubles(x_NF: np.ndarray, relevance_F: np.ndarray, bound: float) -> np.ndarray:
    """Go from the most relevant column to the least, leaving out what goes with one that stayed: positions, in that order."""
    alike_FF = np.abs(correlation(x_NF, x_NF)) > bound
    stayed: list[int] = []
    for j in np.argsort(-relevance_F, kind="stable").tolist():
        if not alike_FF[j, stayed].any():
            stayed.append(j)
    return np.array(stayed)

"""What is saved and answers `predict`: fitted members, the combiner that weighs them, the calibration, and a naive for what nobody serves."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Combiner, Rows, weights_of
from ensemble_forecast.ensemble.calibration import Calibration
from ensemble_forecast.forecasts import tidy
from ensemble_forecast.learners.base import Learner

MEMBER = "member."  # prefix of the members' names among the saved parts
REACH_UP, REACH_DOWN = 1.5, 1.0  # ranges of the history beyond its extremes where a forecast is clipped

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """A fitted ensemble. Series it was fitted on and series it never saw are treated alike.

    Parameters
    ----------
    task
        What the members were fitted for.
    members
        Fitted learners by name, in the order of the combiner's M axis.
    combiner
        Fitted; a member to which it gives no weight is not evaluated.
    calibration
        Fitted.
    fallback
        Fitted naive for origins that no member serves: the seasonal one, or for kind ``direction`` the base rate.
    """

    task: Task
    members: Mapping[str, Learner]
    combiner: Combiner
    calibration: Calibration
    fallback: Learner

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:
        """Forecast from each origin, reading nothing later than it.

        Returns
        -------
        float64 (N, H, Q), coherent, in the target's unit; NaN only where even the naive cannot serve. Origins left to the naive are
        counted in the log.
        """
        forecasts_NHQM = self._ask(panel, origins, deadline)
        combined_NHQ = self.calibration.apply(self.combiner.combine(forecasts_NHQM, Rows.ahead(origins.step)))
        unserved_N = np.isnan(combined_NHQ[:, 0, 0])
        if unserved_N.any():
            combined_NHQ[unserved_N] = self.fallback.predict(panel, origins.take(unserved_N), deadline)
            LOG.warning("%d of %d origins have too little history for every member: the naive serves them", unserved_N.sum(), len(origins))
        if self.task.kind == "quantiles":
            low_N, high_N = plausible(panel, origins)
            combined_NHQ = np.clip(combined_NHQ, low_N[:, None, None], high_N[:, None, None])
        return tidy(combined_NHQ, self.task)

    def parts(self) -> dict[str, object]:
        """Name everything that `persist.save` has to write; `from_parts` is the way back."""
        members = {MEMBER + name: member for name, member in self.members.items()}
        return {"task": self.task, "combiner": self.combiner, "calibration": self.calibration, "fallback": self.fallback, **members}

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Self:
        """Build an ensemble from what `persist.load` read."""
        members = {name.removeprefix(MEMBER): part for name, part in parts.items() if name.startswith(MEMBER)}
        return cls(members=members, **{name: parts[name] for name in ("task", "combiner", "calibration", "fallback")})

    def _ask(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:
        """Collect the forecasts of the members that have a weight; the others' places hold zeros, which nothing reads."""
        forecasts_NHQM = np.zeros((len(origins), self.task.horizon, self.task.n_outputs, len(self.members)))
        weights_M = weights_of(self.combiner)
        for position, member in enumerate(self.members.values()):
            if weights_M[position] > 0:
                forecasts_NHQM[..., position] = member.predict(panel, origins, deadline)
        return forecasts_NHQM


def plausible(panel: Panel, origins: Origins) -> tuple[np.ndarray, np.ndarray]:
    """Bounds outside which a forecast counts as exploded, from the history up to each origin: two float64 (N,).

    One range below the minimum, but not below zero where the history never was, and one and a half above the maximum. A history without any
    variation has its own level for a range; one without any value has no bounds.
    """
    low_N, high_N = np.full(len(origins), np.nan), np.full(len(origins), np.nan)
    order = np.argsort(origins.series, kind="stable")
    starts = np.flatnonzero(np.diff(origins.series[order], prepend=-1))
    for mine in np.split(order, starts[1:]) if len(order) else []:
        series = origins.series[mine[0]]
        until = origins.step[mine]
        values = panel.y[panel.offsets[series] : panel.offsets[series] + until.max() + 1]
        low_N[mine] = np.fmin.accumulate(values)[until]
        high_N[mine] = np.fmax.accumulate(values)[until]
    range_N = np.where(high_N > low_N, high_N - low_N, np.abs(high_N))
    floor_N = low_N - REACH_DOWN * range_N
    floor_N = np.where(low_N >= 0, np.maximum(floor_N, 0.0), floor_N)
    ceiling_N = high_N + REACH_UP * range_N
    return np.where(np.isnan(low_N), -np.inf, floor_N), np.where(np.isnan(high_N), np.inf, ceiling_N)

"""What is saved and answers `predict`: fitted members, the combiner that weighs them, the calibration, and a naive for what nobody serves."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ensemble_forecast.data.origins import Origins, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.ragged import accumulate
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.adaptive import REPLAY, Replay, adapt
from ensemble_forecast.ensemble.base import Combiner, Rows, weights_of
from ensemble_forecast.ensemble.calibration import Calibration
from ensemble_forecast.ensemble.traits import traits_at
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.forecasts import tidy
from ensemble_forecast.learners.base import Learner
from ensemble_forecast.threads import one_thread
from ensemble_forecast.windows import FEW_SERIES

MEMBER = "member."  # prefix of the members' names among the saved parts
REACH_UP, REACH_DOWN = 1.5, 1.0  # ranges of the history beyond its extremes where a forecast is clipped

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """A fitted ensemble. Series that it never saw are treated alike; those it was fitted on may have weights of their own in the combiner.

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
    ids
        Names of the series that the combiner learnt from, in the order of its series index; empty: it knows none.
    until
        Last stamp that the members saw of each of these series, as ISO text.
    """

    task: Task
    members: Mapping[str, Learner]
    combiner: Combiner
    calibration: Calibration
    fallback: Learner
    ids: tuple[str, ...] = ()
    until: tuple[str, ...] = ()

    @one_thread
    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:
        """Forecast from each origin, reading nothing later than it.

        Where it was fitted on few series, the quantiles of those that went on after the fit follow the errors made since (`adaptive`).

        Returns
        -------
        float64 (N, H, Q), coherent, in the target's unit; NaN only where even the naive cannot serve. Origins left to the naive are
        counted in the log.
        """
        combined_NHQ = self._calibrated(panel, origins, deadline)
        if self.task.kind == "quantiles" and len(self.ids) < FEW_SERIES:  # not those asked for: a forecast must not hang on its company
            self._adapt(combined_NHQ, panel, origins, deadline)
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
        rest = {"task": self.task, "combiner": self.combiner, "calibration": self.calibration, "fallback": self.fallback}
        return {**rest, "ids": list(self.ids), "until": list(self.until), **members}

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Self:
        """Build an ensemble from what `persist.load` read."""
        members = {name.removeprefix(MEMBER): part for name, part in parts.items() if name.startswith(MEMBER)}
        rest = {name: parts[name] for name in ("task", "combiner", "calibration", "fallback")}
        return cls(members=members, ids=tuple(parts["ids"]), until=tuple(parts["until"]), **rest)

    def _calibrated(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:
        """Combine and calibrate what the members forecast: NHQ."""
        forecasts_NHQM = self.asked(panel, origins, deadline)
        return self.calibration.apply(self.combiner.combine(forecasts_NHQM, self.rows(panel, origins)))

    def _adapt(self, combined_NHQ: np.ndarray, panel: Panel, origins: Origins, deadline: Deadline) -> None:
        """Let forecasts from origins after the fit follow the errors of those between: changes its first argument."""
        until = dict(zip(self.ids, self.until, strict=False))
        for index in np.unique(origins.series):
            if panel.ids[index] not in until:
                continue
            stamps = panel.stamps(index, 0, int(panel.lengths_S[index])).to_numpy()
            fitted = int(np.searchsorted(stamps, np.datetime64(until[panel.ids[index]]), side="right")) - 1
            asked = np.flatnonzero((origins.series == index) & (origins.step > fitted))
            step_N = origins.step[asked]
            if not len(asked):
                continue
            step_P = np.arange(max(fitted, step_N.min() - REPLAY - self.task.horizon, 0), step_N.max())
            past = Origins(np.full(len(step_P), index), step_P)
            replay = Replay(past.step, self._calibrated(panel, past, deadline), truth(panel, past, self.task.horizon))
            combined_NHQ[asked] = adapt(combined_NHQ[asked], step_N, replay, self.task.quantiles)

    def rows(self, panel: Panel, origins: Origins) -> Rows:
        """Tell the combiner about each origin; a series is known by its name alone, whatever its values are now."""
        place = {id: index for index, id in enumerate(self.ids)}
        series_S = np.array([place.get(id, -1) for id in panel.ids], dtype=np.int64)
        season = self.task.season_length
        traits = {"traits_NF": traits_at(panel, origins, season)} if self.combiner.needs.traits else {}
        window_N = np.full(len(origins), -1)
        return Rows(series_S[origins.series], window_N, origins.step, scale_at(panel, origins, season), **traits)

    def asked(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:
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
    row_N = origins.rows(panel)
    low_N, high_N = accumulate(np.fmin, panel.y, panel.offsets)[row_N], accumulate(np.fmax, panel.y, panel.offsets)[row_N]
    range_N = np.where(high_N > low_N, high_N - low_N, np.abs(high_N))
    floor_N = low_N - REACH_DOWN * range_N
    floor_N = np.where(low_N >= 0, np.maximum(floor_N, 0.0), floor_N)
    ceiling_N = high_N + REACH_UP * range_N
    return np.where(np.isnan(low_N), -np.inf, floor_N), np.where(np.isnan(high_N), np.inf, ceiling_N)

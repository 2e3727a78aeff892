"""A learner that forecasts a monotone transform of the target; its quantiles are mapped back exactly."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.ragged import accumulate
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import Learner, Size, Wrapper, check_fitted, read_off, recipe_for_refit
from ensemble_forecast.windows import Roles

FLOOR_SHARE = 0.01  # of the mean size so far: what a zero counts as under the logarithm (keeps log models sane on small values)
STEP_S = 1e-7  # seconds to transform a step, in fit and in predict, on a plain core
LARGEST_EXPONENT = 80.0  # exp stays finite

Map = Callable[[np.ndarray, float], np.ndarray]
TRANSFORMS: dict[str, tuple[Map, Map]] = {  # name: (apply, invert), both of (values, scale)
    "log": (lambda y, scale: np.log(y / scale), lambda z, scale: np.exp(np.clip(z, -LARGEST_EXPONENT, LARGEST_EXPONENT)) * scale),
    "asinh": (lambda y, scale: np.arcsinh(y / scale), lambda z, scale: np.sinh(np.clip(z, -LARGEST_EXPONENT, LARGEST_EXPONENT)) * scale),
}


def running_floor(panel: Panel) -> np.ndarray:
    """Smallest value the logarithm accepts at each row: a share of the series' mean absolute value up to that row."""
    total = accumulate(np.add, np.abs(panel.y_filled), panel.offsets)
    count = np.arange(1, len(total) + 1) - np.repeat(panel.offsets[:-1], np.diff(panel.offsets))
    return np.maximum(FLOOR_SHARE * total / count, 1e-12)


@dataclass(kw_only=True)
class Transformed(Wrapper):
    """Forecast ``log`` or ``asinh`` of the target with any learner.

    Both are increasing in y[t+h], so the q-quantile of the transform is the transform of the q-quantile and nothing is lost on the way
    back. ``log`` together with a learner that forecasts changes is the log return log(y[t+h] / y[t]). ``asinh`` takes any sign; it is
    scaled by the typical size of the target seen in `fit`.
    """

    family: ClassVar[str] = "transformed"
    SMOKE: ClassVar[dict[str, Any]] = {"transform": "log", "member": {"family": "ridge", "params": {}}}

    transform: str
    member: Learner

    kinds = read_off(lambda self: tuple(kind for kind in self.member.kinds if kind != "barrier"))  # barriers lie elsewhere under a transform

    def __post_init__(self) -> None:
        if self.transform not in TRANSFORMS:
            raise BadInput(f"transform must be one of {', '.join(TRANSFORMS)}; got {self.transform!r}")

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:
        """Fit the member on the transformed target; see `Learner.fit`."""
        sizes = np.abs(panel.y[np.isfinite(panel.y) & (panel.y != 0)])
        self.scale_ = float(np.median(sizes)) if len(sizes) else 1.0
        self.kind_ = task.kind
        roles = Roles(self._origins(roles.fit), None if roles.stop is None else self._origins(roles.stop))
        self.member_ = replace(self.member).fit(self._panel(panel), roles, task, deadline)
        self.stopped_ = {"member": recipe_for_refit(self.member_)}
        self.truncated_ = bool(getattr(self.member_, "truncated_", False))
        return self

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:
        """Forecast in the target's unit; see `Learner.predict`."""
        check_fitted(self)
        forecast_NHQ = self.member_.predict(self._panel(panel), self._origins(origins), deadline)
        return forecast_NHQ if self.kind_ == "direction" else TRANSFORMS[self.transform][1](forecast_NHQ, self.scale_)

    def contributions(self, panel: Panel, origins: Origins) -> dict[str, float]:
        """Ask the member, who sees the transformed target; see `Learner.contributions`."""
        return self.member_.contributions(self._panel(panel), self._origins(origins))

    def work(self, size: Size, task: Task) -> float:
        """Add the transform of every step to what the member does; see `Learner.work`."""
        return self.member.work(size, task) + STEP_S * size.n_series * size.length

    def _panel(self, panel: Panel) -> Panel:
        floored = np.maximum(panel.y, running_floor(panel)) if self.transform == "log" else panel.y
        return replace(panel, y=TRANSFORMS[self.transform][0](floored, self.scale_))

    def _origins(self, origins: Origins) -> Origins:
        if origins.base_NH is None:
            return origins
        base_NH = np.maximum(origins.base_NH, 1e-12) if self.transform == "log" else origins.base_NH
        return replace(origins, base_NH=TRANSFORMS[self.transform][0](base_NH, self.scale_))

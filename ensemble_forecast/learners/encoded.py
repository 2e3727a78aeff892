"""A learner that is shown, beside the series, what an encoder makes of the window before each step."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.contexts import MIN_STEPS
from ensemble_forecast.learners.base import Learner, Showing, Size, recipe_for_refit
from ensemble_forecast.windows import Roles


class Encodes(Protocol):
    """What an encoder can do besides what learners can."""

    codes: int

    def encode(self, panel: Panel, origins: Origins) -> np.ndarray:
        """Turn the window that ends at each origin into some numbers: (N, codes)."""


@dataclass(kw_only=True)
class Encoded(Showing):
    """Train an encoder on the origins of `fit`, and let a member see its codes as past covariates ``code_0, code_1, ...`` of every step.

    A code reads the window up to its own step and nothing later.

    Parameters
    ----------
    member
        Any learner that reads past covariates.
    encoder
        A learner that can ``encode``, such as "autoencoder".
    """

    family: ClassVar[str] = "encoded"
    SMOKE: ClassVar[dict[str, Any]] = {
        "member": {"family": "ridge", "params": {}},
        "encoder": {"family": "autoencoder", "params": {"steps": 20, "codes": 2, "width": 16, "layers": 1, "context": 12}},
    }

    member: Learner
    encoder: Learner

    def __post_init__(self) -> None:
        if not self.member.uses_past:
            raise BadInput(f"encoded needs a member that reads past covariates, and {self.member.family} does not")
        if not hasattr(self.encoder, "encode"):
            raise BadInput(f"encoded needs an encoder, such as autoencoder; {self.encoder.family} is none")

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:
        """Fit the encoder, then the member on what it sees besides; see `Learner.fit`."""
        self.encoder_ = replace(self.encoder).fit(panel, roles, task, deadline)
        self.member_ = replace(self.member).fit(self._shown(panel), roles, task, deadline)
        self.stopped_ = {"member": recipe_for_refit(self.member_), "encoder": recipe_for_refit(self.encoder_)}
        self.truncated_ = any(getattr(part, "truncated_", False) for part in (self.encoder_, self.member_))
        return self

    def work(self, size: Size, task: Task) -> float:
        """Add up both, the member with more covariates; see `Learner.work`."""
        return self.encoder.work(size, task) + self.member.work(self._encoded(size), task)

    def memory(self, size: Size, task: Task) -> float:
        """Take the larger of both, which train one after the other; see `Learner.memory`."""
        return max(self.encoder.memory(size, task), self.member.memory(self._encoded(size), task))

    def _encoded(self, size: Size) -> Size:
        return replace(size, n_past=size.n_past + _as_encoder(self.encoder).codes)

    def _shown(self, panel: Panel) -> Panel:
        """Append the codes of every step with enough history; NaN before."""
        encoder = _as_encoder(self.encoder_)
        everywhere = Origins.between(np.full(panel.n_series, MIN_STEPS - 1), panel.ends_S)
        codes_FK = np.full((len(panel.y), encoder.codes), np.nan)
        if len(everywhere):
            codes_FK[everywhere.rows(panel)] = encoder.encode(panel, everywhere)
        names = tuple(f"code_{code}" for code in range(encoder.codes))
        return replace(panel, past=np.column_stack([panel.past, codes_FK]), past_names=(*panel.past_names, *names))


def _as_encoder(learner: Any) -> Encodes:
    return learner

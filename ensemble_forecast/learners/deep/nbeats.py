"""N-BEATS, the generic form: stacks that all see every step and forecast every step."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ensemble_forecast.learners.deep.shapes import Shapes
from ensemble_forecast.learners.deep.stacks import Stacks


@dataclass(kw_only=True)
class NBeats(Stacks):
    """Stacks without pooling.

    References
    ----------
    Oreshkin et al. (2020), N-BEATS, arXiv:1905.10437. Departures: those of `Stacks`.
    """

    family: ClassVar[str] = "nbeats"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "width": 16, "layers": 1, "stacks": 2, "context": 12}

    def pools(self, shapes: Shapes) -> list[int]:  # noqa: ARG002
        """Pool nothing; see `Stacks.pools`."""
        return [1] * self.stacks

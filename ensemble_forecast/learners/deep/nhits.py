"""N-HiTS: stacks that look at the window, and forecast, at their own time scale."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ensemble_forecast.learners.deep.shapes import Shapes
from ensemble_forecast.learners.deep.stacks import Stacks


@dataclass(kw_only=True)
class NHits(Stacks):
    """Stacks from coarse to fine.

    Parameters
    ----------
    pooling
        Steps that the first stack pools; it falls geometrically to 1 over the stacks.

    References
    ----------
    Challu et al. (2023), N-HiTS, arXiv:2201.12886. Departures: those of `Stacks`.
    """

    family: ClassVar[str] = "nhits"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "width": 16, "layers": 1, "stacks": 2, "context": 12}

    pooling: int = 8

    def pools(self, shapes: Shapes) -> list[int]:
        """Fall to 1; see `Stacks.pools`."""
        most = min(self.pooling, shapes.context, shapes.horizon)
        return [round(most ** (1 - stack / max(self.stacks - 1, 1))) for stack in range(self.stacks)]

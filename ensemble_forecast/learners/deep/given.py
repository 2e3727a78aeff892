"""What a net is given: origins to learn from and to stop on, and how their windows are seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.features.contexts import MIN_STEPS
from ensemble_forecast.learners.deep.inputs import View, Windows

MOST_EVALUATED = 4096  # origins of the stop role, and for the climatology: more add time, not knowledge


@dataclass(frozen=True)
class Given:
    """Origins to learn from and to stop on, and how their windows are seen."""

    fit: Origins
    stop: Origins | None
    view: View

    def stop_windows(self, panel: Panel, place: torch.device) -> Windows | None:
        """Put what the stop role needs on a device; None where there is nothing to judge."""
        return Windows.of(panel, self.stop, self.view, place) if self.stop is not None and len(self.stop) else None


def learnable(panel: Panel, origins: Origins) -> Origins:
    """Keep the origins with enough history and an observed step after them."""
    return origins.take((origins.step >= MIN_STEPS - 1) & (origins.step < panel.ends_S[origins.series]))


def consecutive(givens: Sequence[Given]) -> list[range]:
    """Places of each fit's origins, laid one after the other."""
    ends = np.cumsum([len(given.fit) for given in givens]).tolist()
    return [range(first, end) for first, end in zip([0, *ends], ends, strict=False)]


def moments(values_FC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each column over what is known of it; a constant one has deviation 1."""
    known_FC = np.isfinite(values_FC)
    count_C = np.maximum(known_FC.sum(axis=0), 1)
    mean_C = np.where(known_FC, values_FC, 0.0).sum(axis=0) / count_C
    std_C = np.sqrt((np.where(known_FC, values_FC - mean_C, 0.0) ** 2).sum(axis=0) / count_C)
    return mean_C, np.where(std_C > 0, std_C, 1.0)

"""How a window enters a deep stack: flat, or seen at several scales of time among which attention chooses."""

import torch

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.shapes import Shapes, flat_width


class Scales(torch.nn.Module):
    """Means over 1, 2, 4 ... steps of the window, each lifted to the width, weighted unit by unit by what all of them say together.

    References
    ----------
    Li et al. (2019), Selective kernel networks, arXiv:1903.06586. Departures: scales are means over time, and units take the place of channels.
    """

    def __init__(self, shapes: Shapes, width: int, scales: int) -> None:
        super().__init__()
        if not 1 <= 2 ** (scales - 1) <= shapes.context:
            raise BadInput(
                f"the coarsest of {scales} scales averages {2 ** (scales - 1)} steps, and the context must have as many; it has {shapes.context}:"
                " take fewer scales or a longer context"
            )
        self.steps = [2**scale for scale in range(scales)]
        self.lifts = torch.nn.ModuleList(torch.nn.Linear(inputs, width) for inputs in scale_widths(shapes, scales))
        self.score = torch.nn.Linear(width, scales * width)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        """Lift: (B, width)."""
        window_BCL = window_BLC.transpose(1, 2)
        pooled = [torch.nn.functional.avg_pool1d(window_BCL, steps, ceil_mode=True) if steps > 1 else window_BCL for steps in self.steps]
        lifted_BKW = torch.stack(
            [lift(torch.cat([seen_BCL.flatten(1), extras_BE], dim=1)) for lift, seen_BCL in zip(self.lifts, pooled, strict=True)], dim=1
        )
        score_BKW = self.score(torch.relu(lifted_BKW.sum(dim=1))).view_as(lifted_BKW)
        return (score_BKW.softmax(dim=1) * lifted_BKW).sum(dim=1)


class FlatLift(torch.nn.Linear):
    """One linear map of the flattened window and the extras."""

    def __init__(self, shapes: Shapes, width: int) -> None:
        super().__init__(flat_width(shapes), width)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Lift: (B, width)."""
        return super().forward(torch.cat([window_BLC.flatten(1), extras_BE], dim=1))


def scale_widths(shapes: Shapes, scales: int) -> list[int]:
    """Count the inputs of each scale's lift."""
    return [-(-shapes.context // 2**scale) * shapes.channels + shapes.extras for scale in range(scales)]

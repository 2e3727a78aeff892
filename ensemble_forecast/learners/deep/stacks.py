"""The base of nets whose blocks explain the window away, one after the other, and sum their forecasts."""

import abc
from dataclasses import dataclass

import torch

from ensemble_forecast.learners.deep.blocks import activation
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Last, Shapes


@dataclass(kw_only=True)
class Stacks(NetLearner):
    """Blocks that pool the window, forecast a few knots of the horizon, and take what they explain away before the next block looks.

    Parameters
    ----------
    stacks
        Blocks, one a stack.
    layers, width
        Of the perceptron in every block.
    activation
        By name; see `blocks`.

    References
    ----------
    Oreshkin et al. (2020), N-BEATS, arXiv:1905.10437. Departures: one block a stack; what is taken away is the target's channel only; every block
    reads the extras.
    """

    stacks: int = 3
    layers: int = 2
    width: int = 256
    activation: str = "relu"

    @abc.abstractmethod
    def pools(self, shapes: Shapes) -> list[int]:
        """Return the steps that each stack pools, which are also those between the knots of its forecast."""

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the stacks."""
        pools = self.pools(shapes)
        blocks = [
            _Block(shapes, pool, self._perceptron(self._inputs(shapes, pool)), self.width, explains=stack + 1 < len(pools))
            for stack, pool in enumerate(pools)
        ]
        return DoublyResidual(blocks)

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights; see `NetLearner.multiply_adds`."""
        total = 0.0
        for pool in self.pools(shapes):
            knots = -(-shapes.horizon // pool)
            total += self._inputs(shapes, pool) * self.width + (self.layers - 1) * self.width**2
            total += self.width * (shapes.context + knots * shapes.outputs)
        return total, 0.0

    def _inputs(self, shapes: Shapes, pool: int) -> int:
        return -(-shapes.context // pool) * shapes.channels + shapes.extras

    def _perceptron(self, inputs: int) -> torch.nn.Module:
        layers: list[torch.nn.Module] = []
        for width in [inputs, *[self.width] * (self.layers - 1)]:
            layers += [torch.nn.Linear(width, self.width), activation(self.activation), torch.nn.Dropout(self.dropout)]
        return torch.nn.Sequential(*layers)


class DoublyResidual(torch.nn.Module):
    """Sum of the blocks' forecasts; each sees what the ones before it left unexplained."""

    def __init__(self, blocks: list["_Block"]) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList(blocks)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        """Forecast: BHQ."""
        summed_BHQ: torch.Tensor | None = None
        for block in self.blocks:
            forecast_BHQ, explained_BL = block(window_BLC, extras_BE)
            summed_BHQ = forecast_BHQ if summed_BHQ is None else summed_BHQ + forecast_BHQ
            if explained_BL is not None:
                unexplained_BL1, past_BLC = window_BLC[..., :1] - explained_BL[..., None], window_BLC[..., 1:]
                window_BLC = torch.cat([unexplained_BL1, past_BLC], dim=2) if past_BLC.shape[2] else unexplained_BL1
        assert summed_BHQ is not None
        return summed_BHQ


class _Block(torch.nn.Module):
    """Pool, think, forecast the knots of the horizon, and (but for the last block) say what of the window that explains."""

    between_KH: torch.Tensor

    def __init__(self, shapes: Shapes, pool: int, perceptron: torch.nn.Module, width: int, *, explains: bool) -> None:
        super().__init__()
        self.pool = pool
        self.perceptron, knots = perceptron, -(-shapes.horizon // pool)
        self.knots = Last(width, knots * shapes.outputs)
        self.by_output = torch.nn.Unflatten(1, (shapes.outputs, knots))
        between_KH = torch.nn.functional.interpolate(torch.eye(knots)[None], shapes.horizon, mode="linear")[0]
        self.register_buffer("between_KH", between_KH, persistent=False)  # a product with it takes a third of the time that `interpolate` takes
        self.explained = torch.nn.Linear(width, shapes.context) if explains else None

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        hidden = self.perceptron(torch.cat([largest_of_each(window_BLC.transpose(1, 2), self.pool).flatten(1), extras_BE], dim=1))
        knots_BQK = self.by_output(self.knots(hidden))
        forecast_BQH = knots_BQK @ self.between_KH if len(self.between_KH) < self.between_KH.shape[1] else knots_BQK
        return forecast_BQH.transpose(1, 2), None if self.explained is None else self.explained(hidden)


def largest_of_each(x_BCL: torch.Tensor, pool: int) -> torch.Tensor:
    """Pool by the largest of so many steps, the last of which may be fewer: what `max_pool1d` gives, and its gradient in half of the time."""
    if pool == 1:
        return x_BCL
    short = -x_BCL.shape[2] % pool
    padded_BCL = torch.nn.functional.pad(x_BCL, (0, short), value=-torch.inf) if short else x_BCL
    return padded_BCL.unflatten(2, (-1, pool)).amax(dim=3)

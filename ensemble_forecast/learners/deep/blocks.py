"""What nets are built of: activations and normalisations by name, and the ways a block may be skipped."""

import abc
from collections.abc import Callable

import torch

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.names import named

ACTIVATIONS: dict[str, Callable[[], torch.nn.Module]] = {
    "sigmoid": torch.nn.Sigmoid,
    "tanh": torch.nn.Tanh,
    "relu": torch.nn.ReLU,
    "leaky_relu": torch.nn.LeakyReLU,
    "prelu": torch.nn.PReLU,
    "elu": torch.nn.ELU,
    "gelu": torch.nn.GELU,
    "swish": torch.nn.SiLU,
}
NORMS: dict[str, Callable[[int], torch.nn.Module]] = {
    "layer": torch.nn.LayerNorm,
    "batch": torch.nn.BatchNorm1d,
    "none": lambda width: torch.nn.Identity(),  # noqa: ARG005 - one signature for all
}
SEQUENCE_NORMS: dict[str, Callable[[int], torch.nn.Module]] = {
    "layer": lambda channels: torch.nn.GroupNorm(1, channels),
    "batch": torch.nn.BatchNorm1d,
    "instance": lambda channels: torch.nn.InstanceNorm1d(channels, affine=True),
    "none": lambda channels: torch.nn.Identity(),  # noqa: ARG005 - one signature for all
}


def activation(name: str) -> torch.nn.Module:
    """Build an activation by its name.

    Raises
    ------
    BadInput
        When there is none of that name.
    """
    return named("activation", name, ACTIVATIONS)()


def norm(name: str, width: int) -> torch.nn.Module:
    """Build a normalisation of (B, width) by its name.

    Raises
    ------
    BadInput
        When there is none of that name.
    """
    return named("norm", name, NORMS)(width)


def sequence_norm(name: str, channels: int) -> torch.nn.Module:
    """Build a normalisation of (B, channels, L) by its name.

    Raises
    ------
    BadInput
        When there is none of that name.
    """
    return named("norm", name, SEQUENCE_NORMS)(channels)


def check_drop_path(chance: float) -> None:
    """Refuse a chance that leaves no path.

    Raises
    ------
    BadInput
        When it lies outside [0, 1).
    """
    if not 0 <= chance < 1:
        raise BadInput(f"drop_path must lie in [0, 1); got {chance}")


def left_out(change: torch.Tensor, chance: float) -> torch.Tensor:
    """Leave the change out for some rows of a batch; the others count for more, so that the mean stays."""
    if not chance:
        return change
    kept = torch.rand(len(change), *[1] * (change.ndim - 1), device=change.device) >= chance
    return change * kept / (1 - chance)


class Residual(torch.nn.Module):
    """``x + gain * block(x)``, where the learnt gain may start at zero: then the block changes nothing until it helps.

    In training the block is left out for some rows of a batch, with a given chance (stochastic depth).

    References
    ----------
    He, Zhang, Ren, Sun (2016), arXiv:1603.05027; Bachlechner et al. (2021), ReZero, arXiv:2003.04887; Huang et al. (2016), Deep networks with
    stochastic depth, arXiv:1603.09382.
    """

    def __init__(self, block: torch.nn.Module, gain: float = 1.0, drop: float = 0.0) -> None:
        super().__init__()
        self.block, self.drop = block, drop
        self.gain = torch.nn.Parameter(torch.tensor(float(gain)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the block to its input: same shape, rows of the batch first."""
        return x + left_out(self.gain * self.block(x), self.drop if self.training else 0.0)


class Growing(torch.nn.Module, abc.ABC):
    """A part that takes more of itself into training on the way; what is not yet in changes nothing."""

    @abc.abstractmethod
    def grow(self, done: float) -> bool:
        """Be told before every step what share of the training is done; returns whether steps compute something else from here on."""


class WithLoss(Growing):
    """A part that has a loss of its own to be trained on, beside that of the forecast."""

    own_loss: torch.Tensor  # of the last batch


class Concatenated(torch.nn.Module):
    """Append what a block gives to its input: (B, width) to (B, width + growth).

    References
    ----------
    Huang et al. (2017), Densely connected convolutional networks, arXiv:1608.06993.
    """

    def __init__(self, block: torch.nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x_BF: torch.Tensor) -> torch.Tensor:
        """Keep the input and append."""
        return torch.cat([x_BF, self.block(x_BF)], dim=1)


class Gated(torch.nn.Module):
    """``gate * block(x) + (1 - gate) * x``: a negative bias of the gate lets the input pass at first.

    References
    ----------
    Srivastava, Greff, Schmidhuber (2015), Highway networks, arXiv:1505.00387.
    """

    def __init__(self, block: torch.nn.Module, width: int, bias: float) -> None:
        super().__init__()
        self.block, self.gate = block, torch.nn.Linear(width, width)
        torch.nn.init.constant_(self.gate.bias, bias)

    def forward(self, x_BF: torch.Tensor) -> torch.Tensor:
        """Mix the block's output with its input: same shape."""
        open_BF = torch.sigmoid(self.gate(x_BF))
        return open_BF * self.block(x_BF) + (1 - open_BF) * x_BF

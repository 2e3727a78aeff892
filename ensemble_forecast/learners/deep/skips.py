"""How what a block says joins the stream that runs through a deep stack: what makes a thousand layers trainable, by name."""

import abc
import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.blocks import left_out

LAYER_SCALES = ((24, 1e-4), (math.inf, 1e-5))  # first gain of LayerScale by the number of blocks, arXiv:2103.17239 section 2.2


class Joined(torch.nn.Module, abc.ABC):
    """A branch and the stream that it reads: (B, width) to the same shape."""

    def __init__(self, branch: torch.nn.Module) -> None:
        super().__init__()
        self.branch = branch

    @abc.abstractmethod
    def forward(self, x_BW: torch.Tensor) -> torch.Tensor:
        """Give the stream after the block."""


class Replaced(Joined):
    """``branch(x)``: the plain stack, which nothing leads past."""

    def forward(self, x_BW: torch.Tensor) -> torch.Tensor:
        """Give the branch alone."""
        return self.branch(x_BW)


class Added(Joined):
    """``x + gain * branch(x)``; in training the branch is left out for some rows (stochastic depth).

    Parameters
    ----------
    drop
        Chance that the branch is left out for a row.
    gain
        A number; or a tensor, one value or one for each unit: the first of what training then changes (it never decays).

    References
    ----------
    Huang et al. (2016), Deep networks with stochastic depth, arXiv:1603.09382.
    """

    def __init__(self, branch: torch.nn.Module, drop: float, gain: float | torch.Tensor) -> None:
        super().__init__(branch)
        self.drop = drop
        self.gain = torch.nn.Parameter(gain) if isinstance(gain, torch.Tensor) else gain

    def change(self, x_BW: torch.Tensor) -> torch.Tensor:
        """Give what is added."""
        return left_out(self.gain * self.branch(x_BW), self.drop if self.training else 0.0)

    def forward(self, x_BW: torch.Tensor) -> torch.Tensor:
        """Add it."""
        if isinstance(self.gain, float) and not (self.training and self.drop):
            return torch.add(x_BW, self.branch(x_BW), alpha=self.gain)  # in one pass over the stream
        return x_BW + self.change(x_BW)


class NormedAfter(Joined):
    """``norm(share * x + branch(x))``: normalised after the sum, with a stream that outweighs each branch."""

    def __init__(self, branch: torch.nn.Module, width: int, share: float) -> None:
        super().__init__(branch)
        self.norm, self.share = torch.nn.LayerNorm(width), share

    def forward(self, x_BW: torch.Tensor) -> torch.Tensor:
        """Add and normalise."""
        return self.norm(self.share * x_BW + self.branch(x_BW))


class Place(NamedTuple):
    """Where a block stands: width of the stream, blocks in all, and the chance that it is left out for a row."""

    width: int
    blocks: int
    drop: float


class Skip(NamedTuple):
    """One way to join: the module around a branch, and the shares of the first weights of its inner layers and of its last, by blocks and layers."""

    join: Callable[[torch.nn.Module, Place], Joined]
    shares: Callable[[int, int], tuple[float, float]] | None = None


def _fixup(blocks: int, layers: int) -> tuple[float, float]:
    if layers < 2:
        raise BadInput(f"skip 'fixup' needs blocks of at least 2 layers; got block_layers = {layers}: raise it, or choose another skip")
    return blocks ** (-1 / (2 * layers - 2)), 0.0


def _deepnorm(blocks: int, layers: int) -> tuple[float, float]:  # noqa: ARG001 - one signature for all
    return (4 * blocks) ** -0.25, (4 * blocks) ** -0.25  # (8 L)^(-1/4), where each of the paper's L layers has two branches


def _layer_scale(blocks: int) -> float:
    return next(gain for most, gain in LAYER_SCALES if blocks <= most)


SKIPS: dict[str, Skip] = {
    "none": Skip(lambda branch, place: Replaced(branch)),  # noqa: ARG005 - one signature for all
    "unit": Skip(lambda branch, place: Added(branch, place.drop, 1.0)),  # He et al. (2016), arXiv:1603.05027
    "sqrt": Skip(lambda branch, place: Added(branch, place.drop, place.blocks**-0.5)),  # arXiv:2309.16620
    "rezero": Skip(lambda branch, place: Added(branch, place.drop, torch.zeros(()))),  # Bachlechner et al. (2021), arXiv:2003.04887
    # De and Smith (2020), arXiv:2002.10444, with the gain of their section 4.2; the other of theirs, zero, is "rezero"
    "skipinit": Skip(lambda branch, place: Added(branch, place.drop, torch.full((), place.blocks**-0.5))),
    # Zhang, Dauphin, Ma (2019), arXiv:1901.09321; layers have biases of their own, so the scalar ones of the paper are left out
    "fixup": Skip(lambda branch, place: Added(branch, place.drop, torch.ones(())), _fixup),
    # Touvron et al. (2021), arXiv:2103.17239
    "layerscale": Skip(lambda branch, place: Added(branch, place.drop, torch.full((place.width,), _layer_scale(place.blocks)))),
    # Wang et al. (2022), arXiv:2203.00555: (2 L)^(1/4), where each of the paper's L layers has two branches
    "deepnorm": Skip(lambda branch, place: NormedAfter(branch, place.width, place.blocks**0.25), _deepnorm),
}
NOT_ADDED = ("none", "deepnorm")  # these cannot leave a branch out, or be computed backwards

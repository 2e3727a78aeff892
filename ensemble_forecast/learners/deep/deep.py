"""Nets of any depth: a plain description of a stack, from a few blocks to thousands of layers."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.blocks import activation, check_drop_path, norm
from ensemble_forecast.learners.deep.branches import KINDS, Sizes
from ensemble_forecast.learners.deep.names import check_name, named
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.scales import FlatLift, Scales, scale_widths
from ensemble_forecast.learners.deep.shapes import Shapes, head
from ensemble_forecast.learners.deep.skips import NOT_ADDED, SKIPS, Joined, Place
from ensemble_forecast.learners.deep.trunk import KEEPS, Trunk

RECOMPUTED = 4 / 3  # multiply-adds of a step where what it needs is computed twice: three passes become four
LAYER_WAIT_S = 6e-5  # that a layer adds to a training step beside its arithmetic


@dataclass(kw_only=True)
class Deep(NetLearner):
    """Blocks in a row, so joined that a thousand of them can be trained, and so computed that they fit. No linear map stands beside them.

    Kinds of blocks come in the order of the fields. Depth is a subject of study here, not a recommendation: per second, shallow nets win.

    Parameters
    ----------
    width
        Units of the stream.
    block_layers
        Layers of a block.
    blocks, dense_blocks, gated_blocks, fractal_blocks, attention_blocks, expert_blocks
        How many there are of each kind: layers in a row; layers that read all before them in the block; highway layers; columns of 1, 2, 4 ...
        layers; attention among groups of units and a row of layers; experts. See `branches`.
    skip
        How a block joins the stream: "none" (the plain stack), "unit", "sqrt", "rezero", "skipinit", "fixup", "layerscale" or "deepnorm", see
        `skips`.
    activation, norm
        By name; see `blocks`. Branches normalise first.
    drop_path
        Chance that the last block is left out for a row in training; it rises from zero over the blocks.
    heads
        Along the depth in the first half of the training; the last one forecasts.
    scales
        Of time at which the window is seen: means over 1, 2, 4 ... steps.
    gate_bias
        Of highway gates at first; None: such that all of them together let about 4 layers through.
    keeps
        What is kept of a step for its gradients: "all", the inputs of "segments", or the "ends" of two coupled streams. The first two give the same
        net to the last bit; see `trunk`.

    References
    ----------
    See `skips`, `branches`, `recomputing`, `reversing`.
    """

    family: ClassVar[str] = "deep"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "width": 16, "blocks": 4, "block_layers": 2, "context": 12}

    width: int = 64
    block_layers: int = 4
    blocks: int = 8
    dense_blocks: int = 0
    gated_blocks: int = 0
    fractal_blocks: int = 0
    attention_blocks: int = 0
    expert_blocks: int = 0
    skip: str = "sqrt"
    activation: str = "relu"
    norm: str = "layer"
    drop_path: float = 0.0
    heads: int = 1
    scales: int = 1
    gate_bias: float | None = None
    keeps: str = "all"

    def __post_init__(self) -> None:
        check_drop_path(self.drop_path)
        check_name("skip", self.skip, SKIPS)
        check_name("keeps", self.keeps, KEEPS)
        counts = self.counts().values()
        if self.block_layers < 1 or min(counts) < 0 or not sum(counts):
            raise BadInput(f"block_layers and blocks must be at least 1, and no number negative; got {self.block_layers} and {self.counts()}")
        if self.skip in NOT_ADDED and (self.drop_path or self.keeps == "ends"):
            raise BadInput(f"drop_path and keeps = 'ends' need blocks that are added to the stream; skip {self.skip!r} does not: choose another skip")
        if self.devices > 1 and self.keeps != "all":
            raise BadInput(f"devices = {self.devices} share gradients that come in one by one, which keeps = {self.keeps!r} does not give: use 'all'")
        if SKIPS[self.skip].shares and any(count for kind, count in self.counts().items() if not KINDS[kind].is_layered):
            raise BadInput(f"skip {self.skip!r} scales first weights layer by layer, which only blocks and dense_blocks allow: choose another skip")

    def counts(self) -> dict[str, int]:
        """Say how many branches there are of each kind, in their order; a block of attention is two branches."""
        return {
            "residual": self.blocks + self.attention_blocks,
            "dense": self.dense_blocks,
            "gated": self.gated_blocks,
            "fractal": self.fractal_blocks,
            "attention": self.attention_blocks,
            "experts": self.expert_blocks,
        }

    @property
    def n_layers(self) -> int:
        """Layers in a row."""
        return self.block_layers * sum(self.counts().values())

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the network."""
        lift = FlatLift(shapes, self.width) if self.scales == 1 else Scales(shapes, self.width, self.scales)
        draws = self.dropout > 0 or self.drop_path > 0
        return Trunk(lift, self._blocks(), [self._head(shapes) for _ in range(self.heads)], self.keeps, self.n_layers, draws)

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights; see `NetLearner.multiply_adds`."""
        branches = sum(count * KINDS[kind].multiply_adds(self._sizes()) for kind, count in self.counts().items())
        lifts = self.width * sum(scale_widths(shapes, self.scales)) + (self.scales * self.width**2 if self.scales > 1 else 0)
        again = 1.0 if self.keeps == "all" else RECOMPUTED
        return again * branches + lifts + self.heads * self.width * shapes.horizon * shapes.outputs, again * self.n_layers * LAYER_WAIT_S

    def _blocks(self) -> list[Joined]:
        """Build the blocks in their order; a block's attention stands before its layers."""
        kinds = ["residual"] * self.blocks + ["dense"] * self.dense_blocks + ["gated"] * self.gated_blocks
        kinds += ["fractal"] * self.fractal_blocks + ["attention", "residual"] * self.attention_blocks + ["experts"] * self.expert_blocks
        skip, sizes = named("skip", self.skip, SKIPS), self._sizes()
        places = [Place(self.width, len(kinds), self.drop_path * (place + 1) / len(kinds)) for place in range(len(kinds))]
        return [skip.join(KINDS[kind].build(sizes), place) for kind, place in zip(kinds, places, strict=True)]

    def _sizes(self) -> Sizes:
        shares, blocks = SKIPS[self.skip].shares, max(1, sum(self.counts().values()))
        share = (1.0, 1.0) if shares is None else shares(blocks, self.block_layers)
        bias = -math.log(max(blocks / 4, 1.0)) if self.gate_bias is None else self.gate_bias
        return Sizes(self.width, self.block_layers, self.activation, self.norm, self.dropout, share, bias)

    def _head(self, shapes: Shapes) -> torch.nn.Module:
        return torch.nn.Sequential(norm(self.norm, self.width), activation(self.activation), head(self.width, shapes))

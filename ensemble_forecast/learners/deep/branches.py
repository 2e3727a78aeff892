"""What a block of a deep stack says of the stream it reads, by name: each maps (B, width) to the same shape."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.blocks import activation, norm
from ensemble_forecast.learners.deep.experts import Experts
from ensemble_forecast.learners.deep.fractal import Fractal
from ensemble_forecast.learners.deep.initialisation import Damped

TOKENS = 8  # that attention cuts the units of a stream into
EXPERTS, ASKED = 4, 1  # of a block of experts, and of them for a row


@dataclass(frozen=True)
class Sizes:
    """What branches are built by: units of the stream, layers of a branch, and names as in `blocks`.

    Parameters
    ----------
    shares
        Of the first weights of a branch's inner layers, and of its last.
    gate_bias
        Of the gates at first.
    """

    width: int
    layers: int
    activation: str
    norm: str
    dropout: float
    shares: tuple[float, float] = (1.0, 1.0)
    gate_bias: float = 0.0


class Gate(torch.nn.Module):
    """``gate * (inner(x) - x)``: added to the stream, a highway layer.

    References
    ----------
    Srivastava, Greff, Schmidhuber (2015), Highway networks, arXiv:1505.00387. Departure: the stream is normalised before both maps, without which
    hundreds of gates diverge.
    """

    def __init__(self, inner: torch.nn.Module, sizes: Sizes) -> None:
        super().__init__()
        self.inner, self.norm = inner, norm(sizes.norm, sizes.width)
        self.gate = torch.nn.Linear(sizes.width, sizes.width)
        torch.nn.init.constant_(self.gate.bias, sizes.gate_bias)

    def forward(self, x_BW: torch.Tensor) -> torch.Tensor:
        """Change the stream where the gates are open."""
        return torch.sigmoid(self.gate(self.norm(x_BW))) * (self.inner(x_BW) - x_BW)


class Linked(torch.nn.Module):
    """Layers that each read the stream and all layers of the block before them, and a map of all of it back to the width.

    References
    ----------
    Huang et al. (2017), DenseNet, arXiv:1608.06993; links end with the block, as in Zhang et al. (2018), arXiv:1802.08797: over the whole depth they
    would cost its square.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        growth, (inner, last) = _growth(sizes.width), sizes.shares
        self.norm = norm(sizes.norm, sizes.width)
        self.layers = torch.nn.ModuleList(Damped(sizes.width + place * growth, growth, inner) for place in range(sizes.layers))
        self.activation = activation(sizes.activation)
        self.end = torch.nn.Sequential(torch.nn.Dropout(sizes.dropout), Damped(sizes.width + sizes.layers * growth, sizes.width, last))

    def forward(self, x_BW: torch.Tensor) -> torch.Tensor:
        """Append layer by layer, then fuse."""
        seen_BF = self.activation(self.norm(x_BW))
        for layer in self.layers:
            seen_BF = torch.cat([seen_BF, self.activation(layer(seen_BF))], dim=1)
        return self.end(seen_BF)


class Mixed(torch.nn.Module):
    """Attention among groups of units (Vaswani et al. 2017, arXiv:1706.03762; normalised first, Xiong et al. 2020, arXiv:2002.04745)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        if sizes.width % TOKENS:
            raise BadInput(f"attention cuts the width into {TOKENS} groups: it must be a multiple of that; got {sizes.width}")
        self.norm, self.by_token = norm(sizes.norm, sizes.width), torch.nn.Unflatten(1, (TOKENS, -1))
        self.place_PW = torch.nn.Parameter(torch.randn(TOKENS, sizes.width // TOKENS) / math.sqrt(sizes.width))
        self.attention = torch.nn.MultiheadAttention(sizes.width // TOKENS, 1, sizes.dropout, batch_first=True)

    def forward(self, x_BW: torch.Tensor) -> torch.Tensor:
        """Let the groups read each other."""
        tokens_BPW = self.by_token(self.norm(x_BW)) + self.place_PW
        return self.attention(tokens_BPW, tokens_BPW, tokens_BPW, need_weights=False)[0].flatten(1)


def _dense(sizes: Sizes) -> torch.nn.Module:
    """Normalise once, then activate and mix, layer by layer."""
    inner, last = sizes.shares
    layers: list[torch.nn.Module] = [norm(sizes.norm, sizes.width)]
    for place in range(sizes.layers):
        is_last = place == sizes.layers - 1
        layers.append(_in_place(activation(sizes.activation)) if place or sizes.norm != "none" else activation(sizes.activation))
        layers += [torch.nn.Dropout(sizes.dropout)] if is_last else []
        layers.append(Damped(sizes.width, sizes.width, last if is_last else inner))
    return torch.nn.Sequential(*layers)


def _in_place(module: torch.nn.Module) -> torch.nn.Module:
    """Let an activation overwrite what a layer gave, where it can: no gradient needs that, and a deep stack saves a third of its memory and time."""
    if hasattr(module, "inplace"):
        vars(module)["inplace"] = True
    return module


def _fractal(sizes: Sizes) -> torch.nn.Module:
    """Columns of 1, 2, 4 ... layers side by side."""

    def layer() -> torch.nn.Module:
        return torch.nn.Sequential(norm(sizes.norm, sizes.width), activation(sizes.activation), Damped(sizes.width, sizes.width))

    return Fractal(_columns(sizes), layer, drop=0.0)


def _experts(sizes: Sizes) -> torch.nn.Module:
    """Ask the best expert for every row."""
    return torch.nn.Sequential(norm(sizes.norm, sizes.width), Experts(sizes.width, sizes.width, EXPERTS, ASKED))


def _growth(width: int) -> int:
    return max(1, width // 2)


def _columns(sizes: Sizes) -> int:
    return 1 + int(math.log2(sizes.layers))


@dataclass(frozen=True)
class Kind:
    """A kind of branch: how it is built, the multiply-adds of a row, and whether first weights can be scaled layer by layer."""

    build: Callable[[Sizes], torch.nn.Module]
    multiply_adds: Callable[[Sizes], float]
    is_layered: bool = False


KINDS: dict[str, Kind] = {
    "residual": Kind(_dense, lambda sizes: sizes.layers * sizes.width**2, is_layered=True),
    "dense": Kind(
        Linked,
        lambda sizes: (
            sum(_growth(sizes.width) * (sizes.width + place * _growth(sizes.width)) for place in range(sizes.layers))
            + sizes.width * (sizes.width + sizes.layers * _growth(sizes.width))
        ),
        is_layered=True,
    ),
    "gated": Kind(lambda sizes: Gate(_dense(sizes), sizes), lambda sizes: (sizes.layers + 1) * sizes.width**2),
    "fractal": Kind(_fractal, lambda sizes: (2 ** _columns(sizes) - 1) * sizes.width**2),
    "attention": Kind(Mixed, lambda sizes: 4 * sizes.width**2 / TOKENS + 2 * sizes.width * TOKENS),
    "experts": Kind(_experts, lambda sizes: 2 * EXPERTS * sizes.width**2),
}

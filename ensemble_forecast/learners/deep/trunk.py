"""The body of a deep net: a lift, blocks in a row or in two coupled streams, and heads along the depth."""

from collections.abc import Sequence

import torch

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.blocks import Growing
from ensemble_forecast.learners.deep.recomputing import bounds, run_in_segments, segments_for
from ensemble_forecast.learners.deep.reversing import run_coupled
from ensemble_forecast.learners.deep.skips import Added, Joined

KEEPS = ("all", "segments", "ends")  # what is kept for the gradients
SUPERVISED_UNTIL = 0.5  # of the training; what heads along the depth still add after that is not worth their compromise


class Trunk(Growing):
    """Blocks between a lift and a head: ``forward(window_BLC, extras_BE)`` gives BHQ.

    Parameters
    ----------
    lift
        From the inputs to (B, width).
    blocks
        Of one width.
    heads
        Readers of the stream: the last stands at the end, the others at equal distances before it; these only train (KBHQ), and only in the first
        half of the training.
    keeps
        What is kept for the gradients: "all"; the inputs of "segments", about as many as the square root of the layers; or the two "ends" of a
        stack of two coupled streams, whose mean is read.
    n_layers
        That the blocks have in all.
    draws
        Whether blocks draw random numbers in training.

    References
    ----------
    Lee et al. (2015), Deeply-supervised nets, arXiv:1409.5185.
    """

    def __init__(
        self, lift: torch.nn.Module, blocks: Sequence[Joined], heads: Sequence[torch.nn.Module], keeps: str, n_layers: int, draws: bool
    ) -> None:
        super().__init__()
        if len(heads) > max(len(blocks), 1):
            raise BadInput(f"there must be no more heads than blocks ({len(blocks)}); got {len(heads)}")
        self.lift, self.blocks, self.heads = lift, torch.nn.ModuleList(blocks), torch.nn.ModuleList(heads)
        self.keeps, self.coupled, self.n_layers, self.draws = keeps, keeps == "ends", n_layers, draws
        self.supervised = len(heads) > 1
        self.draws_on_host = draws and keeps != "all"  # it takes random streams back to where they were: see `recordings`

    def grow(self, done: float) -> bool:
        """Leave the heads along the depth behind once a share of the training is done."""
        before, self.supervised = self.supervised, len(self.heads) > 1 and done < SUPERVISED_UNTIL
        return self.supervised != before

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        """Read out."""
        state_BW = self.lift(window_BLC, extras_BE)
        state_BW = state_BW.to(torch.promote_types(state_BW.dtype, torch.float32))  # the stream stays at full precision where branches do not
        if not (self.training and self.supervised):
            return self.heads[-1](self._through(list(self.blocks), state_BW))
        said = []
        for (first, end), head in zip(bounds(len(self.blocks), len(self.heads)), self.heads, strict=True):
            state_BW = self._through(list(self.blocks[first:end]), state_BW)
            said.append(head(state_BW))
        return torch.stack(said)

    def _through(self, blocks: list[torch.nn.Module], state_BW: torch.Tensor) -> torch.Tensor:
        """Run some blocks, keeping what is to be kept."""
        if self.coupled:
            added = [block for block in blocks if isinstance(block, Added)]
            one_BW, two_BW = run_coupled(added, (state_BW, state_BW), draws=self.draws and self.training, keeps=self.keeps == "all")
            return (one_BW + two_BW) / 2
        if self.keeps == "segments" and torch.is_grad_enabled():
            cuts = segments_for(len(blocks), round(self.n_layers * len(blocks) / len(self.blocks)))
            return run_in_segments(blocks, state_BW, cuts, draws=self.draws and self.training)
        for block in blocks:
            state_BW = block(state_BW)
        return state_BW

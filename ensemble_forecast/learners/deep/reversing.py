"""Two streams whose blocks can be computed backwards: nothing between the two ends of a stack is kept, whatever its depth."""

import contextlib
from collections.abc import Sequence
from typing import Any

import torch

from ensemble_forecast.learners.deep.devices import in_precision_of_now
from ensemble_forecast.learners.deep.recomputing import drawing_again, make_room, random_state, rewound
from ensemble_forecast.learners.deep.skips import Added

Streams = tuple[torch.Tensor, torch.Tensor]


def run_coupled(blocks: Sequence[Added], streams: Streams, *, draws: bool, keeps: bool) -> Streams:
    """Let each block change one stream by what it reads in the other, in turns; gradients are added to ``grad`` on the way back.

    Parameters
    ----------
    draws
        Whether blocks draw random numbers.
    keeps
        Whether everything is kept for the gradients, as torch does by itself: the slow obvious twin of what this module is for.

    References
    ----------
    Gomez et al. (2017), The reversible residual network, arXiv:1707.04585.
    """
    seed = int(torch.randint(2**62, ())) if draws else None
    if keeps or not torch.is_grad_enabled():
        return _forwards(blocks, streams, seed)
    make_room(blocks)
    one_BW, two_BW = _Reversible.apply(blocks, seed, *streams)
    return one_BW, two_BW


def _forwards(blocks: Sequence[Added], streams: Streams, seed: int | None) -> Streams:
    one_BW, two_BW = streams
    with _aside(seed):
        for place, block in enumerate(blocks):
            _draw_from(seed, place)
            one_BW, two_BW = two_BW, one_BW + block.change(two_BW)
    return one_BW, two_BW


class _Reversible(torch.autograd.Function):
    """All couplings at once, of which only the last two streams are kept."""

    @staticmethod
    def forward(ctx: Any, blocks: Sequence[Added], seed: int | None, one_BW: torch.Tensor, two_BW: torch.Tensor) -> Streams:
        ctx.blocks, ctx.seed, ctx.precision = blocks, seed, in_precision_of_now(one_BW.device)
        ctx.again = [rewound(list(block.buffers())) for block in blocks]  # every block runs once, so what its buffers hold now is what it will see
        one_BW, two_BW = _forwards(blocks, (one_BW, two_BW), seed)
        ctx.save_for_backward(one_BW, two_BW)
        return one_BW, two_BW

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        one_BW, two_BW = ctx.saved_tensors
        grad_one_BW, grad_two_BW = grads
        with _aside(ctx.seed):
            for place in reversed(range(len(ctx.blocks))):
                block = ctx.blocks[place]
                read_BW = one_BW.detach().requires_grad_()
                _draw_from(ctx.seed, place)
                with torch.enable_grad(), ctx.precision, ctx.again[place]:
                    change_BW = block.change(read_BW)
                change_BW.backward(grad_two_BW)
                one_BW, two_BW = two_BW - change_BW.detach(), one_BW
                grad_one_BW, grad_two_BW = grad_two_BW, grad_one_BW + read_BW.grad
        return None, None, grad_one_BW, grad_two_BW


def _aside(seed: int | None) -> contextlib.AbstractContextManager[None]:
    """Leave the random streams as they are, whatever is drawn within."""
    return drawing_again(None if seed is None else random_state())


def _draw_from(seed: int | None, place: int) -> None:
    """Give a block its own random stream, the same on the way there and back; None: nothing is drawn."""
    if seed is not None:
        torch.manual_seed(seed + place)

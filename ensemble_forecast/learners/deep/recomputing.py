"""Deep stacks in less memory: what a segment needs for its gradients is computed again from its input instead of kept.

torch has this (`torch.utils.checkpoint`), but on a CPU its hooks on every kept tensor cost a net of small layers more than the second run itself (1.7
times the plain step, where this takes 1.4).
"""

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ensemble_forecast.learners.deep.devices import in_precision_of_now

Buffers = list[torch.Tensor]
RandomState = tuple[torch.Tensor, torch.Tensor | None]  # of the CPU, and of the device where there is one


def run_in_segments(blocks: Sequence[torch.nn.Module], x_BW: torch.Tensor, cuts: Sequence[tuple[int, int]], *, draws: bool) -> torch.Tensor:
    """Run blocks one after the other and keep only what enters each segment; gradients are those of the plain run, to the last bit.

    They are added to the weights' ``grad`` on the way back, as by ``backward()``; `torch.autograd.grad` does not see them.

    Parameters
    ----------
    cuts
        First and end of each segment.
    draws
        Whether blocks draw random numbers: then a second run draws what the first one drew.

    References
    ----------
    Chen et al. (2016), Training deep nets with sublinear memory cost, arXiv:1604.06174.
    """
    make_room(blocks)
    segments = [torch.nn.Sequential(*blocks[first:end]) for first, end in cuts]
    said_BW: torch.Tensor = _InSegments.apply(segments, draws, x_BW)
    return said_BW


def make_room(blocks: Sequence[torch.nn.Module]) -> None:
    """Give every weight a gradient of zeros where it has none.

    Gradients that come to life one by one among what is computed again would leave the heap full of holes: three times the memory, measured.
    """
    for block in blocks:
        for parameter in block.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)


def bounds(n_blocks: int, n_segments: int) -> list[tuple[int, int]]:
    """Cut blocks into segments of nearly one length: first and end of each."""
    n_segments = max(1, min(n_segments, n_blocks))
    edges = [round(n_blocks * place / n_segments) for place in range(n_segments + 1)]
    return list(itertools.pairwise(edges))


def segments_for(n_blocks: int, n_layers: int) -> list[tuple[int, int]]:
    """Cut blocks into the segments that keep least: first and end of each.

    A layer of a segment keeps about one and a half times what enters a segment. On the way back the last segment runs beside all that was kept, and
    the first one beside nothing: so each is shorter than the one before it by as much, which takes the square root of three times the layers, where
    equal ones take that of six times.
    """
    n_segments = max(1, round(math.sqrt(3 * n_layers)))
    edges = sorted({round(n_blocks * (1 - (1 - place / n_segments) ** 2)) for place in range(n_segments + 1)})
    return list(itertools.pairwise(edges))


class _InSegments(torch.autograd.Function):
    """Segments in a row, of which only the inputs are kept, each until its segment has run again."""

    @staticmethod
    def forward(ctx: Any, segments: Sequence[torch.nn.Module], draws: bool, x_BW: torch.Tensor) -> torch.Tensor:
        ctx.segments, ctx.before, ctx.precision = segments, [], in_precision_of_now(x_BW.device)
        ctx.entered = [torch.empty_like(x_BW) for _ in segments]  # side by side: among what is not kept they would leave holes
        for segment, entered_BW in zip(segments, ctx.entered, strict=True):
            ctx.before.append((rewound(list(segment.buffers())), random_state() if draws else None))
            x_BW = segment(entered_BW.copy_(x_BW))
        return x_BW

    @staticmethod
    def backward(ctx: Any, grad_BW: torch.Tensor) -> Any:
        for segment, (buffers, random) in zip(reversed(ctx.segments), reversed(ctx.before), strict=True):
            x_BW = ctx.entered.pop().requires_grad_()  # a second way back finds none, and fails
            with torch.enable_grad(), ctx.precision, buffers, drawing_again(random):
                said_BW = segment(x_BW)
            said_BW.backward(grad_BW)
            grad_BW = x_BW.grad
        return None, None, grad_BW


def random_state() -> RandomState:
    """Take down where the random streams stand."""
    return torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_available() else None


def _set_random(state: RandomState) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1])


@contextlib.contextmanager
def drawing_again(state: RandomState | None) -> Iterator[None]:
    """Draw from where the random streams stood then, and leave them as they are; None: nothing is drawn."""
    if state is None:
        yield
        return
    now = random_state()
    _set_random(state)
    try:
        yield
    finally:
        _set_random(now)


def rewound(buffers: Buffers) -> contextlib.AbstractContextManager[None]:
    """Remember what buffers hold now; within the context they hold that again, and after it what they held before it.

    Batch normalisation and the balance of experts keep count in training: a second run must see what the first one saw, and not count twice.
    """
    return _rewound(buffers, [buffer.clone() for buffer in buffers]) if buffers else contextlib.nullcontext()


@contextlib.contextmanager
def _rewound(buffers: Buffers, then: Buffers) -> Iterator[None]:
    now = [buffer.clone() for buffer in buffers]
    _put(then, buffers)
    try:
        yield
    finally:
        _put(now, buffers)


def _put(values: Buffers, buffers: Buffers) -> None:
    for value, buffer in zip(values, buffers, strict=True):
        buffer.data.copy_(value)  # by `data`: gradients read none of these, and must not believe that they do

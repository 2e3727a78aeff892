"""What a deep net will need before it is trained: memory from shapes alone, time from a few blocks of it that are measured on this machine."""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import psutil
import torch

from ensemble_forecast import memory
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.deep import Deep
from ensemble_forecast.learners.deep.devices import device, in_precision, reproducible
from ensemble_forecast.learners.deep.footprint import COPIES, HOLES, kept_by
from ensemble_forecast.learners.deep.names import check_name
from ensemble_forecast.learners.deep.optimisers import groups_of, optimiser_for
from ensemble_forecast.learners.deep.recomputing import segments_for
from ensemble_forecast.learners.deep.shapes import Shapes
from ensemble_forecast.learners.deep.skips import NOT_ADDED
from ensemble_forecast.learners.deep.trunk import KEEPS
from ensemble_forecast.learners.deep.updates import update_average

BLOCK_FIELDS = ("blocks", "dense_blocks", "gated_blocks", "fractal_blocks", "attention_blocks", "expert_blocks")
LOOKING = 7  # the same while a look at the stop role copies a new best
TENSOR_BYTES = 9_000  # that torch and Python need for one weight and its copies, beside the numbers
NODE_BYTES = 1_200  # of the graph, for a tensor that is kept
START_BYTES = 100 * 2**20  # that a process needs more once it has trained anything
SHORT, LONG, LONGEST, REPEATS = 4, 20, 100, 3  # blocks that are measured, and how often; the quickest counts
LONG_S = 0.05  # for a step of the longer net: a short one stays in the processor's cache, where a deep one of small blocks does not
LOOP = 1.2  # of the seconds of a bare step: windows are gathered, gradients checked, the stop role looked at (measured)
MOST_SPLITS = 5  # halvings of a batch


@dataclass(frozen=True)
class Means:
    """One way to train a net, and what it needs.

    Parameters
    ----------
    keeps, batch, accumulate
        Fields of the learner.
    peak_bytes
        Largest memory of this process, or of the device, in training.
    step_s
        Seconds of one undisturbed core, or of the device, for a training step.
    """

    keeps: str
    batch: int
    accumulate: int
    peak_bytes: int
    step_s: float

    def __str__(self) -> str:
        batches = f", {self.accumulate} batches of {self.batch}" if self.accumulate > 1 else ""
        return f"keeps = {self.keeps!r}{batches}: {self.peak_bytes / 2**20:.0f} MiB, {self.step_s:.2g} s a step"


@dataclass(frozen=True)
class Plan:
    """The cheapest means that fits, and why."""

    learner: Deep
    chosen: Means
    considered: list[Means]
    sentence: str


def plan(learner: Deep, shapes: Shapes, limit_bytes: float | None = None) -> Plan:
    """Choose the quickest way to train a net in the memory there is.

    Ways that give the same net come first: everything kept, then only the inputs of segments, then smaller batches. Two coupled streams are another
    net: they are chosen where the learner asks for them, or nothing else fits.

    Parameters
    ----------
    limit_bytes
        Memory this process may have in all; None: what it has, and what is free.

    Raises
    ------
    BadInput
        When nothing fits.
    """
    limit = _held()[0] + psutil.virtual_memory().available if limit_bytes is None else limit_bytes
    considered: list[Means] = []
    for keeps in ("ends",) if learner.keeps == "ends" else KEEPS:
        if keeps == "ends" and learner.skip in NOT_ADDED:
            continue
        for split in range(MOST_SPLITS + 1 if keeps == "segments" else 1):
            own = replace(learner, keeps=keeps, batch=max(1, learner.batch >> split), accumulate=learner.accumulate << split)
            considered.append(Means(keeps, own.batch, own.accumulate, peak_bytes(own, shapes), step_seconds(own, shapes)))
            if considered[-1].peak_bytes <= limit:
                break
        if considered[-1].peak_bytes <= limit:
            break
    fitting = [means for means in considered if means.peak_bytes <= limit]
    if not fitting:
        raise BadInput(
            f"no way to train {learner.n_layers} layers of width {learner.width} fits into {limit / 2**20:.0f} MiB; the least was"
            f" {min(considered, key=lambda means: means.peak_bytes)}: take fewer layers, a smaller width or a smaller batch"
        )
    chosen = min(fitting, key=lambda means: means.step_s)
    others = "".join(f"; not {means}" for means in considered if means is not chosen)
    sentence = f"{learner.n_layers} layers in {limit / 2**20:.0f} MiB: {chosen}{others}"
    return Plan(replace(learner, keeps=chosen.keeps, batch=chosen.batch, accumulate=chosen.accumulate), chosen, considered, sentence)


def peak_bytes(learner: Deep, shapes: Shapes) -> int:
    """Forecast the largest memory of this process when it trains a net: from what it holds now, and shapes alone."""
    check_name("keeps", learner.keeps, KEEPS)
    held, highest = _held()
    kept, nodes, weights, tensors = 0.0, 0, 0, 0
    largest, largest_nodes, stream = 0, 0, learner.batch * learner.width * 4
    for count, blocks in _one_of_each(learner, shapes):
        own = [kept_by(block, torch.empty(learner.batch, learner.width, device="meta")) for block in blocks]
        kept, nodes = kept + count * sum(each[0] for each in own), nodes + count * sum(each[1] for each in own)
        largest, largest_nodes = max(largest, *(each[0] for each in own)), max(largest_nodes, *(each[1] for each in own))
        parameters = [parameter.numel() for block in blocks for parameter in block.parameters()]
        weights, tensors = weights + count * sum(parameters), tensors + count * len(parameters)
    with torch.device("meta"):
        ends = replace(_only(learner, "blocks", learner.heads), heads=learner.heads).net(shapes)
    outer = [parameter.numel() for part in (ends.lift, ends.heads) for parameter in part.parameters()]  # type: ignore[union-attr]
    weights_bytes, n_blocks = 4 * (weights + sum(outer)), sum(learner.counts().values())
    if learner.keeps == "segments":
        lengths = [end - first for first, end in segments_for(n_blocks, learner.n_layers)]
        kept = max(entered * stream + HOLES * length * kept / n_blocks for entered, length in enumerate(lengths, 1))
        nodes = lengths[0] * largest_nodes
    elif learner.keeps == "ends":
        kept, nodes = 6 * stream + largest, largest_nodes
    else:
        kept *= HOLES
    training = COPIES * weights_bytes + kept + nodes * NODE_BYTES
    more = max(training, LOOKING * weights_bytes) + (tensors + len(outer)) * TENSOR_BYTES + START_BYTES
    return int(max(held + more, highest))


def step_seconds(learner: Deep, shapes: Shapes) -> float:
    """Forecast the seconds of a training step: a few blocks of each kind are trained here, and the rest is counted."""
    total, base = 0.0, 0.0
    for field in _used(learner):
        short = _measured(_only(learner, field, SHORT), shapes)
        n_long = int(np.clip(LONG_S * SHORT / short, LONG, LONGEST))
        a_block = max(_measured(_only(learner, field, n_long), shapes) - short, 0.0) / (n_long - SHORT)
        base = max(base, short - SHORT * a_block)
        total += a_block * getattr(learner, field)
    return LOOP * learner.accumulate * (base + total)


def _measured(learner: Deep, shapes: Shapes) -> float:
    """Train a net for a few steps on noise; seconds of the quickest."""
    place = device()
    with reproducible(0):
        net = learner.net(shapes).to(place).train()
        average = copy.deepcopy(net)
        optimiser = optimiser_for(groups_of(net, learner), learner)
        window_BLC = torch.randn(learner.batch, shapes.context, shapes.channels, device=place)
        extras_BE = torch.randn(learner.batch, shapes.extras, device=place)
        taken = []
        for _ in range(REPEATS + 1):  # the first one warms up
            begun = _clock(place)
            optimiser.zero_grad()
            with in_precision(place, learner.precision):
                value = net(window_BLC, extras_BE).float().square().mean()
            value.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), learner.clip)
            optimiser.step()
            update_average(average, net, 1, learner.ema)
            taken.append(_clock(place) - begun)
    return min(taken[1:])


def _clock(place: torch.device) -> float:
    if place.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def _used(learner: Deep) -> list[str]:
    return [field for field in BLOCK_FIELDS if getattr(learner, field)]


def _only(learner: Deep, field: str, count: int) -> Deep:
    """Take so many blocks of one kind only."""
    own: dict[str, Any] = dict.fromkeys(BLOCK_FIELDS, 0) | {field: count}
    return replace(learner, heads=1, **own)


def _one_of_each(learner: Deep, shapes: Shapes) -> list[tuple[int, Sequence[torch.nn.Module]]]:
    """Build one block of each kind without memory, and count them."""
    with torch.device("meta"):
        return [(getattr(learner, field), list(_only(learner, field, 1).net(shapes).train().blocks)) for field in _used(learner)]  # type: ignore[arg-type]


def _held() -> tuple[int, int]:
    """Bytes of memory that this process, or the device, holds now, and held at most so far."""
    if device().type == "cuda":
        return torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    return psutil.Process().memory_info().rss, memory.peak_bytes()

"""Several processes that train nets on one GPU side by side, each within its own part of the memory."""

from typing import Any

import torch

from ensemble_forecast.data.task import Task
from ensemble_forecast.learners.base import Size, build
from ensemble_forecast.registry import NETS

CONTEXT_BYTES = 2**30  # that driver and libraries take for each process, beside its tensors: reckoned with room, not measured
DRAWN = 4.0  # times what the defaults need: a search draws larger nets
SPARED = 0.9  # of what is free: others may want some of it later
ROW_BYTES, COLUMN_BYTES, ORIGIN_BYTES = 16, 4, 64  # of a panel on the device, see `inputs`: target twice, covariates, places and scales
ROLES = 2  # fit and stop hold their own


def take_part(size: Size, task: Task, at_most: int, part: float | None) -> dict[str, Any]:
    """Keep this process to a part of the GPU's memory: beyond, it is out of memory, and the others are not.

    Parameters
    ----------
    size, task
        What nets will be trained on.
    at_most
        Processes that may share the GPU.
    part
        Share of all its memory; None: settled here, by what is free and what nets need.

    Returns
    -------
    ``gpu_sharers`` and ``gpu_part`` where it was settled here, else nothing; nothing either where torch finds no GPU.
    """
    if not torch.cuda.is_available():  # a net that is told to train there will say so
        return {}
    settled = {}
    if part is None:
        free, total = torch.cuda.mem_get_info()
        sharers, part = parts(free, total, need_bytes(size, task), at_most)
        settled = {"gpu_sharers": sharers, "gpu_part": part}
    torch.cuda.set_per_process_memory_fraction(part)
    return settled


def parts(free: int, total: int, each: float, at_most: int) -> tuple[int, float]:
    """Count the processes that fit side by side, at least one, and the share of all memory that the tensors of each may take.

    >>> parts(80 * 2**30, 80 * 2**30, 11 * 2**30, 8)
    (6, 0.1375)
    """
    usable = SPARED * free
    count = max(1, min(at_most, int(usable // (each + CONTEXT_BYTES))))
    return count, max(usable / count - CONTEXT_BYTES, 0.0) / total


def need_bytes(size: Size, task: Task) -> float:
    """Forecast what the tensors of a process take at most: the data, and the largest of all nets with room for larger ones."""
    data = size.n_series * size.length * (ROW_BYTES + COLUMN_BYTES * (size.n_past + size.n_known)) + ORIGIN_BYTES * size.n_fit
    return ROLES * data + DRAWN * max(build({"family": name, "params": {}}).memory(size, task) for name in NETS)

"""One training on several devices: a process each, which takes its share of every batch; gradients are averaged by torch's own DDP.

Every process fits the same learner on the same data with the same seeds, so that all hold the same weights after each step; what could part them
(clocks, losses of different shares) is agreed on.

References
----------
Li et al. (2020), PyTorch Distributed: experiences on accelerating data parallel training, arXiv:2006.15704.
"""

import os
import sys
from typing import Any, NoReturn, TypeVar

import torch
import torch.multiprocessing
from torch.nn.parallel import DistributedDataParallel

from ensemble_forecast import errors
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.deep.devices import device
from ensemble_forecast.learners.deep.recipe import Recipe
from ensemble_forecast.windows import Roles

HERE = "127.0.0.1"
POLL_S = 0.05
AGREED_STEPS = 16  # clocks are compared every so many steps: to compare them is to wait for all

RecipeT = TypeVar("RecipeT", bound=Recipe)


def is_member() -> bool:
    """Whether this process is one of several that train the same net."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def own_share(index_B: torch.Tensor) -> torch.Tensor:
    """Return the part of a batch that this process learns from: all of it, or every so many-th."""
    return index_B[torch.distributed.get_rank() :: torch.distributed.get_world_size()] if is_member() else index_B


def averaging(net: torch.nn.Module) -> torch.nn.Module:
    """Wrap a net so that gradients are averaged over the processes; alone, return it as it is."""
    return DistributedDataParallel(net, find_unused_parameters=True) if is_member() else net


def mean_over_all(value: torch.Tensor) -> float:
    """Read a number that differs between the processes as its mean."""
    if is_member():
        value = value / torch.distributed.get_world_size()
        torch.distributed.all_reduce(value)
    return float(value)


def all_passed(deadline: Deadline, step: int, place: torch.device) -> bool:
    """Whether the time is over, for every process alike."""
    if not is_member():
        return deadline.passed()
    if step % AGREED_STEPS:
        return False
    return mean_over_all(torch.tensor(float(deadline.passed()), device=place)) > 0


def fit_in_parallel(learner: RecipeT, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> RecipeT:
    """Fit a learner in as many processes as its ``devices``, a GPU for each; on a CPU they share its cores.

    Raises
    ------
    BadInput
        When there are fewer GPUs, or batches that cannot be shared evenly.
    EnsembleForecastError
        What the fit itself raises.
    """
    devices = learner.devices
    if learner.batch % devices:
        raise errors.BadInput(f"a batch of {learner.batch} cannot be shared evenly by {devices} devices; choose a multiple")
    if 0 < torch.cuda.device_count() < devices and device().type == "cuda":
        raise errors.BadInput(f"devices is {devices}, but there are {torch.cuda.device_count()} GPUs here")
    answers = torch.multiprocessing.get_context("spawn").SimpleQueue()
    meeting = torch.distributed.TCPStore(HERE, 0, is_master=True, wait_for_workers=False)  # held here, so that it outlives them all
    given = (learner, panel, roles, task, deadline.at, meeting.port, answers)
    processes = torch.multiprocessing.start_processes(_take_part, given, nprocs=devices, join=False, start_method="spawn")
    answer: tuple[str, Any] | None = None
    while not processes.join(POLL_S):
        if answer is None and not answers.empty():
            answer = answers.get()
    kind, content = answers.get() if answer is None else answer
    if kind != "learnt":
        raise getattr(errors, kind)(content)
    vars(learner).update(content)
    return learner


def _take_part(rank: int, learner: Recipe, panel: Panel, roles: Roles, task: Task, at: float, port: int, answers: Any) -> NoReturn:
    """Fit as one of several; the first says what came out."""
    backend = "gloo"
    if device().type == "cuda":
        torch.cuda.set_device(rank)
        backend = "nccl"
    meeting = torch.distributed.TCPStore(HERE, port, is_master=False)
    torch.distributed.init_process_group(backend, store=meeting, rank=rank, world_size=learner.devices)
    try:
        fitted = learner.fit(panel, roles, task, Deadline(at))
        answer: tuple[str, Any] = ("learnt", {name: value for name, value in vars(fitted).items() if name.endswith("_") or name == "_curve"})
    except errors.EnsembleForecastError as error:
        answer = (type(error).__name__, str(error))
    if rank == 0:
        answers.put(answer)
    meeting.set(f"done {rank}", "")
    meeting.wait([f"done {each}" for each in range(learner.devices)])  # nobody hangs up while another one still listens
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # an ordinary end aborts where a net, kept by an exception's frames, outlives its process group: gloo's threads are still running

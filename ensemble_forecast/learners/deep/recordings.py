"""Training steps as CUDA graphs: a step is recorded once and then launched at once, for to launch a small net's kernels takes longer than they do.

A recording repeats what the device did. What it reads beside its input must be changed in place, and what the host decided in it stays decided.

References
----------
PyTorch documentation, CUDA semantics: CUDA graphs (whole-network capture).
"""

from collections import deque
from collections.abc import Callable

import torch

from ensemble_forecast.learners.deep.parallel import is_member
from ensemble_forecast.learners.deep.recipe import Recipe

WARM_UP = 3  # steps before a recording, on the stream it is made on: libraries set themselves up, optimisers make their moments
FEW_STEPS = 50  # shorter trainings are over before a recording has paid for itself
LAUNCH_BOUND = 1e10  # weights x rows of a step: beyond, the device has enough to do, and a recording would but hold its memory
AHEAD = 8  # recorded steps that are launched before the first of them has ended: without an end, no clock would be right

Step = Callable[[torch.Tensor], torch.Tensor]


def launcher(step: Step, net: torch.nn.Module, optimiser: torch.optim.Optimizer, recipe: Recipe) -> "Launcher":
    """Choose how a step of a training is launched: recorded where that pays and can be done.

    The step must not hold the launcher: what a recording holds of the device would outlive the training, until such rings are collected.
    """
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    size = recipe.batch * recipe.accumulate * sum(weight.numel() for weight in weights)
    if weights[0].device.type != "cuda" or is_member() or recipe.steps < FEW_STEPS or size > LAUNCH_BOUND:
        return Launcher(step)
    why_not = why_never(net, optimiser)
    return Launcher(step, records=not why_not, why_not=why_not)


def why_never(net: torch.nn.Module, optimiser: torch.optim.Optimizer) -> str:
    """Say what in a step the host decides anew each time; empty where nothing is known."""
    if any(getattr(module, "draws_on_host", False) for module in net.modules()):
        return "the host draws random numbers in them"
    if not all(group.get("capturable") for group in optimiser.param_groups):
        return f"{type(optimiser).__name__} takes its learning rate from the host"
    return ""


class Launcher:
    """Calls a step; recorded, it is the same step launched at once.

    Parameters
    ----------
    step
        From the positions of origins, of one shape, to losses. It has no other input that is not changed in place, and waits for nothing.
    records
        Whether it is recorded after a few calls. What it returned is then overwritten by the next call.
    why_not
        Why it is not, although that would pay.
    """

    def __init__(self, step: Step, *, records: bool = False, why_not: str = "") -> None:
        self._step, self._records, self.why_not = step, records, why_not
        self._stream = torch.cuda.Stream() if records else None
        self._warm_up = WARM_UP
        self._graph: torch.cuda.CUDAGraph | None = None
        self._launched: deque[torch.cuda.Event] = deque()

    def __call__(self, index: torch.Tensor) -> torch.Tensor:
        """Call the step, or launch its recording."""
        if self._records and self._warm_up:
            self._warm_up -= 1
            return self._aside(index)
        if self._records and self._graph is None:
            self._record(index)
        if self._graph is None:
            return self._step(index)
        self._index.copy_(index)
        self._graph.replay()
        self._keep_pace()
        return self._said

    def anew(self) -> None:
        """Record again: the step computes something else from now on."""
        while self._launched:  # nothing of the old recording may still run
            self._launched.popleft().synchronize()
        self._warm_up, self._graph = WARM_UP, None

    def _aside(self, index: torch.Tensor) -> torch.Tensor:
        """Call the step on the stream that it will be recorded on."""
        assert self._stream is not None
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            said = self._step(index)
        torch.cuda.current_stream().wait_stream(self._stream)
        return said

    def _record(self, index: torch.Tensor) -> None:
        """Record the step, which does not run it; where that fails, say why and leave it at that."""
        stream, random_state, graph = torch.cuda.current_stream(), torch.cuda.get_rng_state(), torch.cuda.CUDAGraph()
        self._index = index.clone()
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                self._said = self._step(self._index)
        except RuntimeError as error:
            first = error.__context__ or error  # the end of a recording that went wrong fails again, and says less
            self._records, self.why_not = False, str(first).partition("\n")[0]
            _forget_recording(stream, random_state)
        else:
            self._graph = graph

    def _keep_pace(self) -> None:
        """Wait for the recorded step before the last few: these keep the device busy meanwhile."""
        ended = torch.cuda.Event(blocking=True)
        ended.record()
        self._launched.append(ended)
        if len(self._launched) > AHEAD:
            self._launched.popleft().synchronize()


def _forget_recording(stream: torch.cuda.Stream, random_state: torch.Tensor) -> None:
    """Undo what a recording that failed leaves behind: its stream, and a generator that takes itself to be recorded."""
    torch.cuda.set_stream(stream)
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    generator.graphsafe_set_state(torch.Generator("cuda").graphsafe_get_state())
    torch.cuda.set_rng_state(random_state)

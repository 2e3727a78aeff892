"""Learning rates over a training, as shares of their peak; lengths are in steps, so that the same seed gives the same bytes."""

import math
from collections.abc import Callable

from ensemble_forecast.learners.deep.names import named

DROPS = 3  # of "step"
DROP = 0.3  # factor of each, and of a plateau
LAST_SHARE = 0.01  # of "exponential", at the end
RESTARTS = 3  # of "cosine_restarts": each run is twice as long as the one before
START_SHARE, RISING = 0.04, 0.3  # of "one_cycle": where it starts, and the share of the steps in which it rises
PATIENCE = 2  # looks at the stop role without gain before a plateau drops the rate
EPOCHS_PATIENCE, EPOCHS_DROP = 10, 0.5  # the same with a look after every pass, as tutorials have it


def _half_cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def _restarting(done: float) -> float:
    runs = 2**RESTARTS - 1  # lengths 1, 2, 4 of so many parts
    for restart in range(RESTARTS):
        first, length = (2**restart - 1) / runs, 2**restart / runs
        if done < first + length:
            return _half_cosine((done - first) / length)
    return 0.0


def _one_cycle(done: float) -> float:
    if done < RISING:
        return START_SHARE + (1 - START_SHARE) * (1 - _half_cosine(done / RISING))
    return _half_cosine((done - RISING) / (1 - RISING))


SCHEDULES: dict[str, Callable[[float], float]] = {  # by the share of the steps that is done
    "constant": lambda done: 1.0,  # noqa: ARG005 - one signature for all
    "step": lambda done: DROP ** math.floor(done * (DROPS + 1)),
    "exponential": lambda done: LAST_SHARE**done,
    "cosine": _half_cosine,  # Loshchilov and Hutter (2017), arXiv:1608.03983
    "cosine_restarts": _restarting,  # the same
    "one_cycle": _one_cycle,  # Smith and Topin (2018), arXiv:1708.07120
    "plateau": lambda done: 1.0,  # noqa: ARG005 - it falls by what the stop role says, see `Schedule.judge`
}


class Schedule:
    """The learning rate of a training, as a share of its peak.

    Parameters
    ----------
    warm_up
        Share of the steps in which the rate first rises in a straight line.
    epochs
        Passes after each of which `judge` hears of a look; 0: looks lie further apart, and a plateau waits for fewer.

    Raises
    ------
    BadInput
        When no schedule has the name.
    """

    def __init__(self, name: str, steps: int, warm_up: float, epochs: int = 0) -> None:
        self._patience, self._drop = (EPOCHS_PATIENCE, EPOCHS_DROP) if epochs else (PATIENCE, DROP)
        self._name, self._steps, self._shape = name, steps, named("schedule", name, SCHEDULES)
        self._rising = 1.0 if name == "one_cycle" else max(1.0, warm_up * steps)  # that one rises by itself
        self.best, self.waited, self.dropped = math.inf, 0, 1.0

    def factor(self, step: int) -> float:
        """Share of the peak at a step, counted from 0."""
        if step + 1 < self._rising:
            return (step + 1) / self._rising
        done = (step + 1 - self._rising) / (self._steps + 1 - self._rising)
        return self.dropped * self._shape(done)

    def judge(self, loss: float) -> None:
        """Take in a look at the stop role: a plateau drops the rate."""
        if self._name != "plateau":
            return
        self.waited = 0 if loss < self.best else self.waited + 1
        self.best = min(self.best, loss)
        if self.waited > self._patience:
            self.dropped, self.waited = self._drop * self.dropped, 0

    def state(self) -> dict[str, float]:
        """Tell what a resumed training has to know."""
        return {"best": self.best, "waited": self.waited, "dropped": self.dropped}

    def restore(self, state: dict[str, float]) -> None:
        """Go on from what `state` told."""
        self.best, self.waited, self.dropped = state["best"], int(state["waited"]), state["dropped"]

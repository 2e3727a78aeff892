"""Stopping a net in the middle of its training: at a ninth and a third of the family's usual time it must not be in the worse half.

The resource is seconds, as the budget is: steps of two nets of a family may differ fiftyfold. Losses are compared as shares of what climatology
costs, on the stop role of the first window, among trials that minimise the same thing. Only the worse half is stopped, for nets that are trained
briefly rank poorly (successive halving with a forgiving rate; Jamieson and Talwalkar 2016, arXiv:1502.07943).
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import TrialPruned
from ensemble_forecast.ledger import Line
from ensemble_forecast.search.space import Params

SHARES = (1 / 9, 1 / 3)  # of the seconds that trainings of the family usually take
LEAST_RIVALS = 4  # at a rung, before anyone is stopped there
LOSS_KEYS = ("loss", "balanced", "transform")  # what makes losses incomparable
STOPPED, SECONDS = 2, 3  # places in a point of a curve: loss on the stop role, seconds since the training began

Rung = tuple[float, float]  # seconds of training, and the share of climatology's loss that must not be exceeded then


@dataclass(frozen=True)
class Watch(Deadline):
    """A deadline that is told of every look at the stop role, and stops the training where a rung says so.

    Parameters
    ----------
    rungs
        In the order of seconds.
    begun
        On the monotonic clock: when the training began.
    """

    rungs: tuple[Rung, ...] = ()
    begun: float = 0.0

    @classmethod
    def over(cls, deadline: Deadline, rungs: Sequence[Sequence[float]]) -> "Watch":
        """Watch a training that begins now."""
        return cls(deadline.at, tuple((seconds, bar) for seconds, bar in rungs), time.monotonic())

    def within(self, duration_s: float) -> "Watch":
        """Return the earlier of this deadline and so many seconds from now, with the same rungs."""
        return replace(self, at=super().within(duration_s).at)

    def told(self, share: float, curve: Sequence[tuple[float, ...]]) -> None:
        """Compare a loss with the last rung that was passed."""
        elapsed = time.monotonic() - self.begun
        passed = [(seconds, bar) for seconds, bar in self.rungs if elapsed >= seconds]
        if passed and share > passed[-1][1]:
            seconds, bar = passed[-1]
            error = TrialPruned(
                f"after {elapsed:.1f} s its loss was {share:.4g} of climatology's, above the {bar:.4g} of its family after {seconds:.1f} s"
            )
            error.curve = list(curve)  # it counts at the next rungs too, or the bar would only ever rise
            raise error


def rungs(lines: Sequence[Line], params: Params) -> list[Rung]:
    """Set the rungs of a new trial by the trials of its family that were trained so far.

    Parameters
    ----------
    lines
        Of the family.
    params
        Of the new trial.
    """
    alike = [line for line in lines if line["curve"] and _minimises(line["params"]) == _minimises(params)]
    curves, ends = [line["curve"] for line in alike], [line["curve"][-1][SECONDS] for line in alike if line["state"] == "finished"]
    if len(ends) < LEAST_RIVALS:
        return []
    found = []
    for seconds in (share * statistics.median(ends) for share in SHARES):
        shares = [share for curve in curves if (share := _share_at(curve, seconds)) is not None]
        if len(shares) >= LEAST_RIVALS:
            found.append((seconds, statistics.median(shares)))
    return found


def _minimises(params: Params) -> tuple[Any, ...]:
    return tuple(params.get(key) for key in LOSS_KEYS)


def _share_at(curve: Sequence[Sequence[Any]], seconds: float) -> float | None:
    """Loss on the stop role at the first look after so many seconds, over climatology's; None where it was not looked at."""
    for point in curve[1:]:
        if point[SECONDS] >= seconds:
            first, here = curve[0][STOPPED], point[STOPPED]
            return here / first if first and here is not None else None
    return None

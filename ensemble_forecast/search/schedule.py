"""What there is time for: nothing is started that is not expected to end, and to be refitted, before the deadline."""

import math
from collections.abc import Callable, Sequence

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.search.costs import Costs
from ensemble_forecast.search.reserve import Prospect

Reserve = Callable[[Sequence[Prospect]], float]  # seconds that the ensemble of these candidates will need after the search

LIMIT_SHARE = 0.4  # of the search's time, for one trial: one slow configuration must not eat the budget
SHORTEST_LIMIT_S = 10.0
PATIENCE = 1.6  # what has begun may take so many times its limit: to cut it short then would waste all of it
COMMIT_SHARE = 0.9  # of the time left, for training: what a deadline truncates still has to be scored and written
MARGIN = 1.25  # a prediction may be wrong by so much
UNTRIED_MARGIN = 1.3  # before the first trial of a family
OPENING_S = {True: 0.3, False: 2.0}  # by whether the family is cheap: to import its library on a plain core


class Schedule:
    """Time left for trials.

    Parameters
    ----------
    reserve
        Keeps time back for what comes after the search; None: all of it is for trials.
    """

    def __init__(self, deadline: Deadline, costs: Costs, reserve: Reserve | None = None) -> None:
        self._deadline, self._costs, self._reserve = deadline, costs, reserve
        self.total_s = deadline.left()
        self._longest_s = max(LIMIT_SHARE * self.total_s, SHORTEST_LIMIT_S)

    def left(self, prospects: Sequence[Prospect]) -> float:
        """Seconds left for trials, never below zero, given what may have to be refitted."""
        left = self._deadline.left()
        return left if self._reserve is None or math.isinf(left) else max(0.0, left - self._reserve(prospects))

    def limit_s(self, prospects: Sequence[Prospect]) -> float | None:
        """Seconds that a trial which starts now may be expected to take; None: as many as it likes."""
        return self._at_most(self._longest_s, prospects)

    def cut_s(self, prospects: Sequence[Prospect]) -> float | None:
        """Seconds after which a trial that starts now is cut short, because its prediction was wrong; None: never."""
        return self._at_most(PATIENCE * self._longest_s, prospects)

    def seconds(self, family: str, work: float) -> float:
        """Predict the seconds of a trial, on the safe side."""
        return self._costs.seconds(family, work) * self._margin(family)

    def fits(self, family: str, work: float, prospects: Sequence[Prospect]) -> bool:
        """Whether a trial of some work can end within its limit."""
        limit_s = self.limit_s(prospects)
        return limit_s is None or self.seconds(family, work) <= limit_s

    def most_work(self, family: str, prospects: Sequence[Prospect]) -> float | None:
        """Return the most work that can end within its limit; None: any."""
        limit_s = self.limit_s(prospects)
        return None if limit_s is None else self._costs.most_work(family, limit_s / self._margin(family))

    def can_open(self, is_cheap: bool, prospects: Sequence[Prospect]) -> bool:
        """Whether it is worth while to import one more family's library: its first trial has to follow."""
        return self.left(prospects) > 1.5 * self.opening_s(is_cheap)

    def opening_s(self, is_cheap: bool) -> float:
        """Predict the seconds of importing a family's library."""
        return OPENING_S[is_cheap] * self._costs.machine_factor()

    def _at_most(self, limit_s: float, prospects: Sequence[Prospect]) -> float | None:
        left = self.left(prospects)
        return None if math.isinf(left) else min(limit_s, COMMIT_SHARE * left)

    def _margin(self, family: str) -> float:
        return MARGIN if self._costs.is_measured(family) else UNTRIED_MARGIN

"""What a trial will cost: the work a learner says a configuration is, times what a unit of work was seen to take in this run."""

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass, field

DISTINCT = 1.5  # two works tell a fixed overhead from a rate only if one is so many times the other
NEWEST = 20  # trials of a family that are looked at
FADING = 0.9  # weight of a trial against the one after it: the machine may have become busier
OVERHEAD_S = 0.05  # of a trial, whatever its work: a message there and back, a folder written


@dataclass(frozen=True)
class Rate:
    """Seconds as a function of work: ``fixed + rate x work`` up to the largest work seen, in proportion beyond it.

    Beyond, the fixed part is not trusted any more: a trial ten times as long as any before is taken to cost ten times as much.
    """

    fixed: float
    rate: float
    largest: float = math.inf

    def seconds(self, work: float) -> float:
        """Predict the seconds of some work."""
        if work <= self.largest:
            return self.fixed + self.rate * work
        return self.seconds(self.largest) * work / self.largest

    def work(self, seconds: float) -> float:
        """Return the most work that is predicted to take no longer; negative where the fixed part alone does."""
        within = (seconds - self.fixed) / self.rate
        return within if within <= self.largest else seconds * self.largest / self.seconds(self.largest)


@dataclass
class Costs:
    """Measured (work, seconds) of the trials of each family, newest last."""

    seen: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, family: str, work: float, seconds: float) -> None:
        """Take in a trial that ended by itself."""
        if work > 0 and seconds > 0:
            self.seen[family].append((work, seconds))

    def is_measured(self, family: str) -> bool:
        """Whether a trial of the family was timed."""
        return bool(self.seen.get(family))

    def least_work(self, family: str) -> float:
        """Return the least work a trial of the family was seen to do; 0 before its first."""
        return min((work for work, _ in self.seen.get(family, [])), default=0.0)

    def machine_factor(self) -> float:
        """Real seconds for a unit of work: what a family is predicted by before its first trial.

        It is the median over families, each weighing as much as the work it has done: trials of a few milliseconds say little.
        """
        ratios = sorted(
            (statistics.median((OVERHEAD_S + seconds) / (OVERHEAD_S + work) for work, seconds in pairs), sum(work for work, _ in pairs))
            for pairs in self.seen.values()
            if pairs
        )
        half, passed = sum(weight for _, weight in ratios) / 2, 0.0
        for ratio, weight in ratios:
            passed += weight
            if passed >= half:
                return ratio
        return 1.0

    def seconds(self, family: str, work: float) -> float:
        """Predict the seconds of a trial."""
        return OVERHEAD_S + self._rate(family).seconds(work)

    def most_work(self, family: str, seconds: float) -> float:
        """Return the most work whose prediction is no longer than some seconds."""
        return self._rate(family).work(seconds - OVERHEAD_S)

    def _rate(self, family: str) -> Rate:
        if not self.is_measured(family):
            return Rate(0.0, self.machine_factor())
        return fit_rate(self.seen[family][-NEWEST:])


def fit_rate(pairs: list[tuple[float, float]]) -> Rate:
    """Fit seconds to work by least absolute log ratios, newer pairs weighing more, with no negative part.

    Tried are all lines through two of the points, and through the origin and one. The absolute deviation makes one trial that met a busy
    moment harmless; of ratios, too much and too little weigh alike.

    >>> fit_rate([(1.0, 3.0), (2.0, 5.0), (4.0, 9.0), (3.0, 70.0)])
    Rate(fixed=1.0, rate=2.0, largest=4.0)
    """
    largest = max(work for work, _ in pairs)
    rates = [Rate(0.0, seconds / work, largest) for work, seconds in pairs]
    for position, (work, seconds) in enumerate(pairs):
        for other_work, other_seconds in pairs[:position]:
            if max(work, other_work) >= DISTINCT * min(work, other_work):
                slope = (seconds - other_seconds) / (work - other_work)
                fixed = seconds - slope * work
                if slope > 0 and fixed > 0:
                    rates.append(Rate(fixed, slope, largest))

    def deviation(rate: Rate) -> float:
        newest_first = reversed(pairs)
        return sum(FADING**age * abs(math.log(rate.seconds(work) / seconds)) for age, (work, seconds) in enumerate(newest_first))

    return min(rates, key=deviation)

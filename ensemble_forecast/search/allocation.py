"""Which family to try next, by what it is expected to gain in a second."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

TRIED_AT_LEAST = 4  # finished trials before a family is judged
WEAK = 1.3  # a family whose best loss is so many times the best of all is dropped: the ensemble prunes it anyway
KEEPING_COST_S = 1.0  # what a candidate costs beyond its fit, on disk and in the contest: a ridge of 10 ms is not worth a hundred of them
RANK_DECAY = 0.8  # expected gain of the next entry of a portfolio, against the one before it: of alike candidates an average gains less and less
CLOSE = 0.1  # relative distance to the best loss at which a family promises 1 / e of what one at the front does
FRUITLESS = 4  # a family without one finished trial is given up after so many


@dataclass
class Record:
    """What is known of one family."""

    values: list[float] = field(default_factory=list)  # of finished trials
    seconds: list[float] = field(default_factory=list)  # of trials that ended by themselves
    n_begun: int = 0

    @property
    def best(self) -> float:
        """Smallest loss."""
        return min(self.values, default=math.inf)

    @property
    def cost_s(self) -> float | None:
        """Seconds of a typical trial: the mean so far."""
        return statistics.fmean(self.seconds) if self.seconds else None


def is_weak(record: Record, best: float) -> bool:
    """Whether a family has had its chance and lost it."""
    if not record.values:
        return record.n_begun >= FRUITLESS
    return len(record.values) >= TRIED_AT_LEAST and record.best > WEAK * best


def gain_per_second(record: Record, best: float) -> float:
    """Estimate by how much one more trial improves the best loss, per second.

    The better half of a family's losses is taken for normal; the expected improvement then has a closed form (Jones, Schonlau and Welch 1998,
    doi:10.1023/A:1008306431147). It is divided by the number of trials so far: of exchangeable draws, the next is a record with chance 1 / n.
    """
    if not record.values:
        return 0.0
    better = sorted(record.values)[: max(2, math.ceil(len(record.values) / 2))]
    mean = statistics.fmean(better)
    spread = max(statistics.stdev(better) if len(better) > 1 else 0.0, 1e-3 * abs(mean), 1e-12)
    z = (best - mean) / spread
    normal = statistics.NormalDist()
    improvement = spread * (z * normal.cdf(z) + normal.pdf(z))
    return improvement / (len(record.values) + 1) / (KEEPING_COST_S + (record.cost_s or 0.0))


def promise(record: Record, best: float, rank: float, cost_s: float) -> float:
    """Estimate what an entry of a portfolio is expected to gain in a second, in units that only compare entries.

    An entry promises the more the earlier it stands in its list and the nearer the family has come to the best loss of all; a family that was
    never tried promises as much as the best. A family behind keeps a small promise: it may still be what an ensemble lacks.
    """
    behind = record.best / best - 1 if record.values and best > 0 else 0.0
    return RANK_DECAY**rank * max(math.exp(-behind / CLOSE), 0.05) / (KEEPING_COST_S + cost_s)


def order(records: Mapping[str, Record], families: Sequence[str]) -> list[str]:
    """Rank the families that are worth another trial: those not tried enough first, cheap before dear, then by gain per second."""
    best = min((record.best for record in records.values()), default=math.inf)
    open_ones = [family for family in families if not is_weak(records[family], best)]
    fresh = [family for family in open_ones if len(records[family].values) < TRIED_AT_LEAST]
    known = [family for family in open_ones if family not in fresh]
    return [
        *sorted(fresh, key=lambda family: (records[family].n_begun, records[family].cost_s or 0.0)),
        *sorted(known, key=lambda family: -gain_per_second(records[family], best)),
    ]

"""How much time the search has to leave over, so that the ensemble made of its candidates can still be fitted on all rows.

A refit is one fit where a trial was one a window, on a little more data; tree learners fit a twin for honest residuals besides.
"""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

MOST_MEMBERS = 20  # of an ensemble: against 12, three a family, the mean of five short panels lost 0.3 to 2 % less
MOST_OF_A_FAMILY = 5  # candidates that enter the contest: a dozen variants of one model are one opinion, and an average of them too
REFIT_COST = 1.6  # of the mean window of its trial: the last window is the dearest, and a refit has all rows
MARGIN = 1.15


@dataclass(frozen=True)
class Prospect:
    """A candidate that may become a member: its loss, and the seconds its trial took over all windows."""

    family: str
    value: float
    seconds: float


def likely_members(prospects: Iterable[Prospect]) -> list[Prospect]:
    """Pick the best candidates, no more than five of a family and twenty in all, best first."""
    members: list[Prospect] = []
    entered: Counter[str] = Counter()
    for prospect in sorted(prospects, key=lambda prospect: prospect.value):
        if entered[prospect.family] < MOST_OF_A_FAMILY and len(members) < MOST_MEMBERS:
            members.append(prospect)
            entered[prospect.family] += 1
    return members


def refit_s(prospects: Iterable[Prospect], n_windows: int, n_workers: int, n_fits: int = 1) -> float:
    """Predict the seconds until all likely members are refitted, quick ones first, each on the next free worker.

    Parameters
    ----------
    n_fits
        Ensembles to be made: two where test origins are locked away, so that there is a judged one.
    """
    costs = sorted(REFIT_COST * prospect.seconds / n_windows for prospect in likely_members(prospects) for _ in range(n_fits))
    free_at = [0.0] * n_workers
    for cost in costs:
        heapq.heapreplace(free_at, free_at[0] + cost)
    return MARGIN * max(free_at)

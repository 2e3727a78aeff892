"""How much time the search has to leave over, so that the ensemble made of its candidates can still be fitted on all rows.

A refit is one fit where a trial was one a window, on a little more data.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ensemble_forecast.registry import folder_of
from ensemble_forecast.search.pruning import STILL_USEFUL

MOST_OF_A_FAMILY = 3  # candidates that enter the contest: a dozen variants of one model are one opinion, and an average of them too
MOST_OF_A_FOLDER = 5  # and so are seven families of trees: without this, quarterly panels lost 3 % and yearly ones 2 % once search had tuned them all
MOST_MEMBERS = 20  # of an ensemble
REFIT_COST = 1.2  # of the mean window of its trial: the last window is the dearest, and a refit has all rows
MARGIN = 1.15
LEAST_MEMBERS = 5
EXPECTED_MEMBERS = 12  # that the search leaves time for: more are welcome where there is time left


@dataclass(frozen=True)
class Prospect:
    """A candidate that may become a member: its loss, and the seconds its trial took over all windows."""

    family: str
    value: float
    seconds: float


def varied(families: Iterable[str], adds: Callable[[int], bool] = lambda position: True) -> list[int]:  # noqa: ARG005
    """Choose the first few of each family and of each folder of learners, by position: the first of every folder, then the second ones, and so on.

    ``adds`` is asked whether one that would be chosen says anything new. Whoever has to leave some out then leaves out opinions that others share:
    on a monthly panel the eight best were statistical learners and nets but for two, and 3 % behind the plain average of one of each kind.
    """
    chosen, of_family, of_folder = [], Counter[str](), Counter[str]()
    for position, family in enumerate(families):
        folder = folder_of(family)
        if of_family[family] < MOST_OF_A_FAMILY and of_folder[folder] < MOST_OF_A_FOLDER and adds(position):
            chosen.append((of_folder[folder], position))
            of_family[family] += 1
            of_folder[folder] += 1
    return [position for _, position in sorted(chosen)]


def likely_members(prospects: Iterable[Prospect], size: int = MOST_MEMBERS) -> list[Prospect]:
    """Pick candidates that are near the best, a few of each kind and so many in all."""
    best_first = sorted(prospects, key=lambda prospect: prospect.value)
    near = [prospect for prospect in best_first if prospect.value <= max(STILL_USEFUL * best_first[0].value, best_first[0].value)]
    return [near[position] for position in varied(prospect.family for prospect in near)[:size]]


def refit_s(prospects: Iterable[Prospect], n_windows: int, n_workers: int, n_fits: int = 1, size: int = EXPECTED_MEMBERS) -> float:
    """Predict the seconds until the likely members are refitted, quick ones first, each on the next free worker.

    Parameters
    ----------
    n_fits
        Ensembles to be made: two where test origins are locked away, so that there is a judged one.
    size
        Members.
    """
    return _together_s(likely_members(prospects, size), n_windows, n_workers, n_fits)


def affordable(best_first: Sequence[Prospect], n_windows: int, n_workers: int, n_fits: int, left_s: float) -> list[int]:
    """Choose by position those that there is time to refit: the dear and low-ranked ones go first, and a few quick ones stay in any case."""
    kept = list(range(len(best_first)))
    while len(kept) > LEAST_MEMBERS and _together_s([best_first[position] for position in kept], n_windows, n_workers, n_fits) > left_s:
        kept.remove(max(kept, key=lambda position: (position + 1) * best_first[position].seconds))
    return kept


def _together_s(prospects: Iterable[Prospect], n_windows: int, n_workers: int, n_fits: int) -> float:
    """Predict the seconds of all refits, quick ones first, each on the next free worker."""
    free_at = [0.0] * n_workers
    for cost in sorted(REFIT_COST * prospect.seconds / n_windows for prospect in prospects for _ in range(n_fits)):
        heapq.heapreplace(free_at, free_at[0] + cost)
    return MARGIN * max(free_at)

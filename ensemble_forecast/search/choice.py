"""What to start next: the entry of a portfolio that promises most in a second, among those that there is time for."""

import math
from collections.abc import Callable, Iterable, Sequence

from ensemble_forecast.registry import is_cheap
from ensemble_forecast.search import allocation
from ensemble_forecast.search.due import Due, Entry, Worth
from ensemble_forecast.search.history import History
from ensemble_forecast.search.reserve import Prospect
from ensemble_forecast.search.schedule import Schedule

EARLY_SHARE = 0.01  # of the search's time: entries that cost less need not wait until every family has had its first
EARLY_RANKS = 2  # nor need the first entries of a portfolio


class Choice:
    """Weighs what is due by what has happened so far and by the time left.

    Parameters
    ----------
    families
        All that are searched.
    """

    def __init__(self, history: History, schedule: Schedule, families: Sequence[str]) -> None:
        self._history, self._schedule, self._families = history, schedule, families

    def prospects(self, running: Iterable[tuple[str, float]]) -> list[Prospect]:
        """Describe what may enter the ensemble: what has finished, and what runs now.

        Parameters
        ----------
        running
            Family and expected seconds of each trial that runs.
        """
        finished = [Prospect(line["family"], line["value"], line["seconds"]) for line in self._history.lines if line["state"] == "finished"]
        return finished + [self._hoped(family, seconds) for family, seconds in running]

    def fits(self, family: str, work: float, prospects: Sequence[Prospect]) -> bool:
        """Whether a trial of some work, and its refit, are expected to end in time."""
        own = self._hoped(family, self._history.costs.seconds(family, work))
        return self._schedule.fits(family, work, [*prospects, own])

    def may_draw(self, family: str, prospects: Sequence[Prospect]) -> bool:
        """Whether a draw of a family has a chance to fit: the least work that it was seen to do does."""
        return self.fits(family, self._history.costs.least_work(family), prospects)

    def worths(
        self, due: Due, prospects: Sequence[Prospect], suits: Callable[[str], bool], *, may_import: bool = True
    ) -> Callable[[Entry], Worth | None]:
        """Return what each entry that is due is worth now.

        The promise in a second decides, so that cheap ones come first; but where any family still waits for its first entry, the third
        and later ones of the others wait too, unless they cost next to nothing.

        Parameters
        ----------
        may_import
            Whether one more worker may import a large library now; else it does so only for want of anything else.
        """
        records = {family: self._history.record(family) for family in self._families}
        best = min((record.best for record in records.values()), default=math.inf)

        def can_start(entry: Entry) -> bool:
            if not suits(entry.family):
                return False
            if entry.params is None:
                return self._schedule.can_open(is_cheap(entry.family), prospects)
            return entry.work is None or self.fits(entry.family, entry.work, prospects)

        firsts_wait = any(entry.place[0] == 0 and can_start(entry) for entry in due.entries())

        def worth(entry: Entry) -> Worth | None:
            if not can_start(entry):
                return None
            cost_s, rank = self._cost_s(entry), entry.place[0]
            is_late = rank >= EARLY_RANKS and cost_s > EARLY_SHARE * self._schedule.total_s
            is_held = entry.params is None and not may_import and not is_cheap(entry.family)
            turn = 2 if is_held else int(firsts_wait and is_late)
            return (-turn, allocation.promise(records[entry.family], best, rank, cost_s))

        return worth

    def why_not(self, entry: Entry) -> str:
        """Say why an entry was never started."""
        needs = "" if entry.work is None else f"about {self._cost_s(entry):.1f} s were needed, and "
        return f"there was no time for it: {needs}{self._schedule.total_s:.0f} s were given to the whole search"

    def _cost_s(self, entry: Entry) -> float:
        if entry.params is None:
            return self._schedule.opening_s(is_cheap(entry.family))
        return 0.0 if entry.work is None else self._schedule.seconds(entry.family, entry.work)

    def _hoped(self, family: str, seconds: float) -> Prospect:
        """Describe a trial that has not finished: taken to be as good as the best of its family, or of all."""
        line = self._history.best(family) or self._history.best()
        return Prospect(family, line["value"] if line else math.inf, seconds)

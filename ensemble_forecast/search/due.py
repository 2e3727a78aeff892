"""What has to run before the sampler is asked: the portfolios of all families, then what was cut off. What comes next is the caller's choice."""

import math
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

from ensemble_forecast.search.history import History
from ensemble_forecast.search.space import Params, canonical

Worth = tuple[float, ...]  # compared as tuples: the larger, the sooner


@dataclass(frozen=True)
class Entry:
    """A trial that is due, or a family whose table is still to be opened (then without parameters).

    Parameters
    ----------
    place
        Rank in its list, and position of the family: decides between entries of equal worth.
    work
        As the learner estimates it, over all windows; None where nobody has asked it yet.
    """

    place: tuple[float, int]
    family: str
    params: Params | None
    retry_of: str | None = None
    work: float | None = None


class Due:
    """The trials that have to run and have not ended yet.

    Parameters
    ----------
    history
        Says what has ended, and what was cut off.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._entries: list[Entry] = []
        self._taken: set[str] = set()  # they run, or have ended by now
        self._listed: set[str] | None = None  # nothing but these, where there is a list

    def entries(self) -> list[Entry]:
        """Return what is still due, lowest rank first."""
        return list(self._entries)

    def add_family(self, family: str, position: int) -> None:
        """Let a family's table be opened when its turn comes."""
        self._insert([Entry((0, position), family, None)])

    def add_portfolio(self, family: str, position: int, portfolio: Sequence[Params], works: Sequence[float]) -> None:
        """Add the warm start of a family, with the work of each entry."""
        self._add([((rank, position), family, params, work) for rank, (params, work) in enumerate(zip(portfolio, works, strict=True))])

    def add_list(self, trials: Iterable[tuple[str, Params]]) -> None:
        """Add trials to run in the given order, and nothing else."""
        trials = list(trials)
        self._listed = {canonical(family, params) for family, params in trials}
        self._add([((rank, 0), family, params, None) for rank, (family, params) in enumerate(trials)])

    def add_cut_off(self, families: Iterable[str]) -> None:
        """Add the drawn trials of some families that were cut off: after all portfolios."""
        self._add([((math.inf, 0), family, params, None) for family, params, _ in self._history.due() if family in families])

    def add_again(self, families: Container[str], but: Container[str]) -> None:
        """Add what was cut off since it was taken, here or in another search, but some (by `canonical` text) that run or were declined."""
        for family, params, _ in self._history.due():
            key = canonical(family, params)
            if family in families and key not in but and (self._listed is None or key in self._listed):
                self._taken.discard(key)
                self._add([((math.inf, 0), family, params, None)])

    def take(self, worth: Callable[[Entry], Worth | None]) -> Entry | None:
        """Take the entry that is worth most; None where none can start now.

        Parameters
        ----------
        worth
            None: it cannot start now.
        """
        best, most = None, None
        for entry in self._entries:
            own = worth(entry)
            if own is not None and (most is None or own > most):
                best, most = entry, own
        if best is not None:
            self._entries.remove(best)
            if best.params is not None:
                self._taken.add(canonical(best.family, best.params))
        return best

    def _add(self, trials: list[tuple[tuple[float, int], str, Params, float | None]]) -> None:
        """Insert trials that have not ended, do not run, and do not stand here already."""
        skip = {*self._history.ended(), *self._taken}
        again = {canonical(family, params): id for family, params, id in self._history.due()}
        known = {canonical(entry.family, entry.params): entry for entry in self._entries if entry.params is not None}
        fresh = []
        for place, family, params, work in trials:
            key = canonical(family, params)
            if key in known and known[key].place > place:  # cut off earlier, and part of the portfolio: it moves to its place there
                self._entries.remove(known.pop(key))
            if key not in skip and key not in known:
                known[key] = Entry(place, family, params, again.get(key), work)
                fresh.append(known[key])
        self._insert(fresh)

    def _insert(self, entries: list[Entry]) -> None:
        self._entries = sorted([*self._entries, *entries], key=lambda entry: entry.place)

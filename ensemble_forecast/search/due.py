"""What has to run before the sampler is asked: the portfolios of cheap families, those of the others rank by rank, then what was cut off."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ensemble_forecast.registry import is_cheap
from ensemble_forecast.search.history import History
from ensemble_forecast.search.space import Params, canonical


@dataclass(frozen=True)
class Entry:
    """A trial that is due, or a family whose table is still to be opened (then without parameters)."""

    place: tuple[float, int]  # turn, position of the family
    family: str
    params: Params | None
    retry_of: str | None = None


class Due:
    """A queue that only holds what has not ended yet.

    Parameters
    ----------
    history
        Says what has ended, and what was cut off.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._entries: list[Entry] = []
        self._taken: set[str] = set()  # they run, or have ended by now

    def __len__(self) -> int:
        return len(self._entries)

    def add_family(self, family: str, position: int) -> None:
        """Let a family's table be opened when the first rank comes to it."""
        self._insert([Entry((_turn(family, 0), position), family, None)])

    def add_portfolio(self, family: str, position: int, portfolio: Iterable[Params]) -> None:
        """Add the warm start of a family."""
        self._add([((_turn(family, rank), position), family, params) for rank, params in enumerate(portfolio)])

    def add_list(self, trials: Iterable[tuple[str, Params]]) -> None:
        """Add trials to run in the given order."""
        self._add([((rank, 0), family, params) for rank, (family, params) in enumerate(trials)])

    def add_cut_off(self, families: Iterable[str]) -> None:
        """Add the drawn trials of some families that were cut off: after all portfolios."""
        self._add([((math.inf, 0), family, params) for family, params, _ in self._history.due() if family in families])

    def take(self, suits: Callable[[str], bool]) -> Entry | None:
        """Take the first entry whose family suits."""
        for entry in self._entries:
            if suits(entry.family):
                self._entries.remove(entry)
                if entry.params is not None:
                    self._taken.add(canonical(entry.family, entry.params))
                return entry
        return None

    def _add(self, trials: list[tuple[tuple[float, int], str, Params]]) -> None:
        """Insert trials that have not ended, do not run, do not stand here already, and were not cut off too often."""
        skip = {*self._history.ended(), *self._history.given_up(), *self._taken}
        again = {canonical(family, params): id for family, params, id in self._history.due()}
        known = {canonical(entry.family, entry.params): entry for entry in self._entries if entry.params is not None}
        fresh = []
        for place, family, params in trials:
            key = canonical(family, params)
            if key in known and known[key].place > place:  # cut off earlier, and part of the portfolio: it moves to its place there
                self._entries.remove(known.pop(key))
            if key not in skip and key not in known:
                known[key] = Entry(place, family, params, again.get(key))
                fresh.append(known[key])
        self._insert(fresh)

    def _insert(self, entries: list[Entry]) -> None:
        self._entries = sorted([*self._entries, *entries], key=lambda entry: entry.place)


def _turn(family: str, rank: int) -> float:
    """When the entry of a rank is due: every cheap family's whole portfolio comes before the first entry of an expensive one."""
    return rank / (rank + 1) if is_cheap(family) else 1.0 + rank

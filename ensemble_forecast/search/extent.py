"""How large a space is, in words and in numbers: for whoever has to decide on a budget."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

from ensemble_forecast.search.space import FamilySpace, Hole, Params, Space


def extent(space: Space) -> list[dict[str, Any]]:
    """Describe every family of a space.

    Returns
    -------
    rows with family, portfolio (entries tried first), holes (one text each, with range and condition), combinations (of all holes that can be
    counted; a condition that does not hold leaves its hole out) and continuous (holes that cannot).
    """
    return [
        {
            "family": family,
            "portfolio": len(table.entries),
            "holes": [_in_words(name, hole) for name, hole in table.holes.items()],
            "combinations": combinations(table),
            "continuous": sum(_count(hole) is None for hole in table.holes.values()),
        }
        for family, table in space.tables.items()
    ]


def combinations(table: FamilySpace) -> int:
    """Count the combinations of the holes that have a finite number of values, conditions observed."""
    total = 0
    for decided in _decisions(table):
        free = [hole for name, hole in table.holes.items() if name not in decided and hole.applies(decided)]
        total += math.prod(_count(hole) or 1 for hole in free)
    return total


def _decisions(table: FamilySpace) -> Iterator[Params]:
    """Yield every way to fill the holes that conditions speak of, each once; one that does not apply stays out."""
    asked = {name for hole in table.holes.values() for name in hole.when}
    deciding = {name: hole for name, hole in table.holes.items() if name in asked}
    seen = set()
    for values in itertools.product(*(_values(hole) for hole in deciding.values())):
        decided = dict(table.fixed)
        for (name, hole), value in zip(deciding.items(), values, strict=True):
            if hole.applies(decided):
                decided[name] = value
        key = repr(sorted(decided.items(), key=lambda pair: pair[0]))
        if key not in seen:
            seen.add(key)
            yield decided


def _values(hole: Hole) -> list[Any]:
    """List the values of a hole that a condition may name."""
    if hole.choices:
        return list(hole.choices)
    if hole.is_whole and hole.low is not None and hole.high is not None:
        return list(range(int(hole.low), int(hole.high) + 1, int(hole.step or 1)))
    return [None]


def _count(hole: Hole) -> int | None:
    """Count a hole's values; None where they are a continuum."""
    if hole.low is None or hole.high is None:
        return len(hole.choices)
    if hole.is_whole or hole.step is not None:
        return int((hole.high - hole.low) / (hole.step or 1) + 1e-9) + 1
    return None


def _in_words(name: str, hole: Hole) -> str:
    if hole.low is None:
        text = f"{name} in {{{', '.join(str(choice) for choice in hole.choices)}}}"
    else:
        text = f"{name} {hole.low} to {hole.high}" + (" (log)" if hole.log else "") + (f" by {hole.step}" if hole.step else "")
    conditions = " and ".join(f"{other} = {value}" for other, value in hole.when.items())
    return text + (f" when {conditions}" if conditions else "")

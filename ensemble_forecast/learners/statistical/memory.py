"""Fits that were made once, found again by the history they were made on."""

import hashlib
from typing import Any, NamedTuple

import numpy as np

Fits = dict[str, Any]  # plain data: "ids", a list; "digest_S", "last_S", "steps_S" and "numbers_SP", arrays


class Match(NamedTuple):
    """What a fit left behind, where in the history the fit's own history began, and whether they end at the same step."""

    numbers_P: np.ndarray
    begin: int
    is_newest: bool


class Memory:
    """Finds the fit that belongs to a history, reading nothing but that history and the name of its series.

    A series of a known name is recognised wherever the steps it was fitted on occur, so later origins are served by the fit made once; an
    unknown name only if its newest steps are, to the bit, those of a fit. A known name with other values is another series.

    Parameters
    ----------
    fits
        What `remember` returned.
    longest
        Steps of history a fit reads at most.
    """

    def __init__(self, fits: Fits, longest: int) -> None:
        self.fits, self.longest = fits, longest
        fitted = np.flatnonzero(np.isfinite(fits["numbers_SP"]).any(axis=1)).tolist()
        self.by_id = {fits["ids"][row]: row for row in fitted}
        self.by_digest = {int(fits["digest_S"][row]): row for row in fitted}

    def find(self, id: str, y_L: np.ndarray) -> Match | None:
        """Look up the fit of a history; None where it has to be fitted."""
        row = self.by_id.get(id)
        if row is None:
            row = self.by_digest.get(digest(y_L[-self.longest :]))
            return None if row is None else self._match(row, len(y_L), y_L)
        steps = int(self.fits["steps_S"][row])
        for last in np.flatnonzero(y_L == self.fits["last_S"][row])[::-1].tolist():
            if last + 1 >= steps and digest(y_L[last + 1 - steps : last + 1]) == self.fits["digest_S"][row]:
                return self._match(row, last + 1, y_L)
        return None

    def _match(self, row: int, end: int, y_L: np.ndarray) -> Match:
        return Match(self.fits["numbers_SP"][row], end - int(self.fits["steps_S"][row]), end == len(y_L))


def remember(ids: tuple[str, ...], histories: list[np.ndarray], numbers_SP: np.ndarray) -> Fits:
    """Note which numbers were fitted to which history (S of each; rows of NaN: nothing was fitted; a history may be empty)."""
    return {
        "ids": list(ids),
        "digest_S": np.array([digest(y_L) for y_L in histories], dtype=np.int64),
        "last_S": np.array([y_L[-1] if len(y_L) else np.nan for y_L in histories]),
        "steps_S": np.array([len(y_L) for y_L in histories], dtype=np.int64),
        "numbers_SP": numbers_SP,
    }


def digest(y_L: np.ndarray) -> int:
    """Hash a history to 64 bits."""
    return int.from_bytes(hashlib.blake2b(y_L.tobytes(), digest_size=8).digest(), "little", signed=True)

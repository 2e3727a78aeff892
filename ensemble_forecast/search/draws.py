"""Which families the sampler is still asked for: not those whose draws repeat each other, or are too much work for the time left."""

from collections import Counter

from ensemble_forecast.search.history import History
from ensemble_forecast.search.pruning import Windows

REPEATS_AT_MOST = 3
REDRAWS = 5  # draws in a row that were too much work, before a family is left alone


class Draws:
    """Counts, of each family, the draws in a row that came to nothing."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._exhausted: set[str] = set()
        self._repeats: Counter[str] = Counter()  # forecast what an earlier trial did
        self._declined: Counter[str] = Counter()  # were too much work

    def are_open(self, family: str) -> bool:
        """Whether a family is worth another draw."""
        return family not in self._exhausted and self._declined[family] < REDRAWS

    def exhaust(self, family: str) -> None:
        """Ask no more: the sampler keeps drawing what was seen."""
        self._exhausted.add(family)

    def declined(self, family: str) -> None:
        """Count a draw that its worker found to be too much work for the time left."""
        self._declined[family] += 1

    def finished(self, family: str, windows: Windows) -> None:
        """Count a draw that ran; give the family up when its holes have stopped to matter: it scores what earlier trials did, to the last digit."""
        self._declined[family] = 0
        known = any(line["windows"] == windows for line in self._history.lines if line["family"] == family)
        self._repeats[family] = self._repeats[family] + 1 if known else 0
        if self._repeats[family] >= REPEATS_AT_MOST:
            self._exhausted.add(family)

"""What a run knows of its trials: the ledger, made to agree with the candidates on disk."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ensemble_forecast.ledger import LEDGER_FIELDS, Line
from ensemble_forecast.search.allocation import Record
from ensemble_forecast.search.costs import Costs
from ensemble_forecast.search.space import Params, canonical
from ensemble_forecast.store import RunFolder

ENDED = ("finished", "pruned", "failed")  # a stale trial has not ended: it is due again
RETRIES = 3  # a configuration that takes the whole machine down each time must not do so for ever
BUDGET_ENDED = "budget ended"


class History:
    """All trials of a run so far; grows with `add`, which writes the ledger."""

    def __init__(self, run_folder: RunFolder) -> None:
        self._run = run_folder
        self._on_disk = set(run_folder.candidate_ids())
        self.lines: list[Line] = []
        for line in run_folder.ledger():
            if line["state"] != "finished" or line["id"] in self._on_disk:  # without its forecasts a trial has not finished
                self.lines.append(line)
        known = {line["id"] for line in self.lines if line["state"] == "finished"}
        for id in sorted(self._on_disk - known):  # committed, and the driver died before it could write the line
            report = run_folder.candidate(id).report
            self.add(blank_line(**report))
        self.costs = Costs()
        for line in self.lines:
            if line["state"] == "finished" and not line["truncated"]:
                report = run_folder.candidate(line["id"]).report
                self.costs.add(line["family"], report.get("work", 0.0), report.get("work_s", 0.0))  # a fixed list may hold candidates without

    def add(self, line: Line) -> None:
        """Write how a trial ended."""
        self._run.append(line)
        self.lines.append(line)

    def ended(self) -> dict[str, Line]:
        """Lines of the trials that are over, by `canonical` configuration."""
        return {canonical(line["family"], line["params"]): line for line in self.lines if line["state"] in ENDED}

    def due(self) -> list[tuple[str, Params, str]]:
        """Families, parameters and ids of the trials that were cut off and have to run again."""
        ended, due = self.ended(), {}
        cut_off = [line for line in self.lines if line["state"] == "stale"]
        times = Counter(canonical(line["family"], line["params"]) for line in cut_off if line["reason"] != BUDGET_ENDED)
        for line in cut_off:
            key = canonical(line["family"], line["params"])
            if key not in ended and times[key] <= RETRIES:
                due[key] = (line["family"], line["params"], line["id"])
        return list(due.values())

    def given_up(self) -> set[str]:
        """Name the configurations that were cut off too often."""
        times = Counter(
            canonical(line["family"], line["params"]) for line in self.lines if line["state"] == "stale" and line["reason"] != BUDGET_ENDED
        )
        return {key for key, count in times.items() if count > RETRIES}

    def next_number(self, family: str, others: Iterable[str] = ()) -> int:
        """Return a number that no trial of a family has had, neither in the ledger nor on disk nor among ``others``."""
        pattern = re.compile(rf"{re.escape(family)}-(\d+)")
        ids = {*self._on_disk, *(line["id"] for line in self.lines), *self._run.candidate_ids(), *others}
        return 1 + max((int(match[1]) for id in ids if (match := pattern.fullmatch(id))), default=0)

    def n_ended(self) -> int:
        """Trials that are over."""
        return sum(line["state"] in ENDED for line in self.lines)

    def best(self, family: str | None = None) -> Line | None:
        """Line of the finished trial with the smallest loss, of a family or of all."""
        finished = [line for line in self.lines if line["state"] == "finished" and family in {None, line["family"]}]
        return min(finished, key=lambda line: line["value"], default=None)

    def record(self, family: str) -> Record:
        """Return what is known of a family."""
        own = [line for line in self.lines if line["family"] == family and line["state"] in ENDED]
        finished = [line for line in own if line["state"] == "finished"]
        return Record([line["value"] for line in finished], [line["seconds"] for line in finished], len(own))

    def states(self) -> dict[str, int]:
        """Count the lines by state."""
        return dict(Counter(line["state"] for line in self.lines))


def blank_line(**known: Any) -> Line:
    """Return a ledger line with what is known, in the ledger's order; the rest is None."""
    return {name: known.get(name) for name in LEDGER_FIELDS}

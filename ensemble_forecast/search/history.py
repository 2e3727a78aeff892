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
BUDGET_ENDED, INTERRUPTED = "budget ended", "interrupted"  # why a trial was cut off; neither is its fault
WORKER_DIED, SEARCH_DIED = "its worker died", "its search died"
STRIKES = {WORKER_DIED: 2, SEARCH_DIED: 5}  # so often, and the trial is poison; whatever ends a whole search is seldom one of its trials


class History:
    """All trials of a run so far; grows with `add`, which writes the ledger, and with `refresh`, where other searches write theirs.

    Parameters
    ----------
    shared
        Other searches may be at work: a candidate without a line is one that they are about to write.
    """

    def __init__(self, run_folder: RunFolder, *, shared: bool = False) -> None:
        self._run = run_folder
        self._read_bytes = run_folder.ledger_bytes()
        self._on_disk = set(run_folder.candidate_ids())
        self.lines: list[Line] = []
        for line in run_folder.ledger():
            if line["state"] != "finished" or line["id"] in self._on_disk:  # without its forecasts a trial has not finished
                self.lines.append(line)
        known = {line["id"] for line in self.lines if line["state"] == "finished"}
        for id in [] if shared else sorted(self._on_disk - known):  # committed, and the driver died before it could write the line
            report = run_folder.candidate(id).report
            self.add(blank_line(**report))
        self.costs = Costs()
        for line in self.lines:
            self._learn_cost(line)

    def add(self, line: Line) -> None:
        """Write how a trial ended."""
        self._run.append(line)
        self.lines.append(line)

    def refresh(self) -> None:
        """Take in what other searches have written since."""
        n_bytes = self._run.ledger_bytes()
        if n_bytes == self._read_bytes:
            return
        known = {line["id"] for line in self.lines}
        for line in self._run.ledger():
            if line["id"] in known:
                continue
            if line["state"] == "finished" and not self._run.has_candidate(line["id"]):  # the folder is on its way, over the network
                n_bytes = -1
                continue
            self.lines.append(line)
            self._learn_cost(line)
        self._read_bytes = n_bytes

    def strikes(self, family: str, params: Params, reason: str) -> int:
        """Count how often a configuration was cut off for a reason."""
        key = canonical(family, params)
        cut_off = [line for line in self.lines if line["state"] == "stale" and (line["reason"] or "").startswith(reason)]
        return sum(canonical(line["family"], line["params"]) == key for line in cut_off)

    def ended(self) -> dict[str, Line]:
        """Lines of the trials that are over, by `canonical` configuration."""
        return {canonical(line["family"], line["params"]): line for line in self.lines if line["state"] in ENDED}

    def due(self) -> list[tuple[str, Params, str]]:
        """Families, parameters and ids of the trials that were cut off and have to run again."""
        ended, due = self.ended(), {}
        for line in self.lines:
            key = canonical(line["family"], line["params"])
            if line["state"] == "stale" and key not in ended:
                due[key] = (line["family"], line["params"], line["id"])
        return list(due.values())

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

    def _learn_cost(self, line: Line) -> None:
        if line["state"] == "finished" and not line["truncated"]:
            report = self._run.candidate(line["id"]).report
            self.costs.add(line["family"], report.get("work", 0.0), report.get("work_s", 0.0))  # a fixed list may hold candidates without


def blank_line(**known: Any) -> Line:
    """Return a ledger line with what is known, in the ledger's order; the rest is None."""
    return {name: known.get(name) for name in LEDGER_FIELDS}

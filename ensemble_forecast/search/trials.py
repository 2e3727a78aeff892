"""Trials from begin to end: each has one id, begins in Optuna's journal, and ends in the ledger first: the journal is rebuilt from it."""

import contextlib
import time
from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ensemble_forecast.ledger import Line, now
from ensemble_forecast.search.due import Entry
from ensemble_forecast.search.history import INTERRUPTED, SEARCH_DIED, STRIKES, WORKER_DIED, History, blank_line
from ensemble_forecast.search.journal import FamilyStudy, Zombie, open_storage
from ensemble_forecast.search.protocol import Message
from ensemble_forecast.search.space import FamilySpace, Params
from ensemble_forecast.store import RunFolder, explaining_full_disk

if TYPE_CHECKING:
    from ensemble_forecast.search.shared import Server

LOOK_S = 2.0  # between two looks at what other searches do, at least
LAST_WORDS_S = 5.0  # that a search which ends waits for a server that is away


@dataclass(frozen=True)
class Job:
    """A trial that runs now.

    Parameters
    ----------
    number
        Of the trial in its family's Optuna study.
    drawn
        Whether the sampler chose it.
    limit_s
        Seconds after which it is cut short; None: never.
    retry_of
        Id of the trial that was cut off and is run again here.
    """

    id: str
    family: str
    params: Params
    number: int
    started: str
    drawn: bool
    limit_s: float | None
    expected_s: float
    retry_of: str | None

    def seconds(self) -> float:
        """Seconds since it began, by the wall clock of its start stamp."""
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(self.started)).total_seconds())


class Trials:
    """Begins and ends the trials of one search. The run's lock must be held.

    Parameters
    ----------
    tables
        Of the families that are searched.
    seed
        The task's seed.
    sampler
        By name, see `samplers`.
    metric
        Named in every line.
    server
        Storage in which other searches may join the study; None: the journal of the run folder.

    Raises
    ------
    Unfinished
        From every method: the disk is full, or the server stayed away until the search's deadline.
    """

    def __init__(
        self,
        run_folder: RunFolder,
        history: History,
        tables: Mapping[str, FamilySpace],
        seed: int,
        sampler: str,
        metric: str,
        server: "Server | None" = None,
    ) -> None:
        self._run, self._history, self._metric, self._server = run_folder, history, metric, server
        self._ids: set[str] = set()
        self._beat_at = self._look_at = 0.0
        with explaining_full_disk(run_folder.path):
            storage = open_storage(run_folder.journal_path) if server is None else server
            run_id = None if server is None else server.run_id(run_folder.path)
            name = run_folder.path.resolve().name
            self._studies = {family: FamilyStudy(storage, name, table, seed, sampler, server, run_id) for family, table in tables.items()}
            for family, study in self._studies.items():
                self._make_agree(family, study)

    def keep_up(self, jobs: Collection[Job], *, at_once: bool = False) -> bool:
        """Tell other searches that the trials of this one are alive, and take in what they did; whether it was time to look.

        Parameters
        ----------
        jobs
            What runs here.
        at_once
            Look now.
        """
        if self._server is None:
            return False
        if time.monotonic() >= self._beat_at:
            for job in jobs:
                self._studies[job.family].beat(job.number)
            self._beat_at = time.monotonic() + 0.5 * (self._server.heartbeat_interval or 0)
        if time.monotonic() < self._look_at and not at_once:
            return False
        begun = time.monotonic()
        self._history.refresh()
        with explaining_full_disk(self._run.path):
            for family, study in self._studies.items():
                self._make_agree(family, study)
        self._look_at = time.monotonic() + max(LOOK_S, 10 * (time.monotonic() - begun))  # where the server is far away, more seldom
        return True

    def others_run(self, jobs: Iterable[Job]) -> bool:
        """Whether other searches still run trials: what one of them leaves behind if it dies is then done here."""
        if self._server is None:
            return False
        own = {(job.family, job.number) for job in jobs}
        return any((family, number) not in own for family, study in self._studies.items() for number in study.running())

    def enter(self, entry: Entry, expected_s: float, limit_s: float | None) -> Job | None:
        """Begin a trial that is due; None where another search was faster."""
        assert entry.params is not None
        id, started = self._new_id(entry.family), now()
        with explaining_full_disk(self._run.path):
            number = self._studies[entry.family].enter(id, entry.params, started, entry.retry_of)
        if number is None:
            return None
        return Job(id, entry.family, entry.params, number, started, False, limit_s, expected_s, entry.retry_of)

    def draw(self, family: str, seen: Container[str], expected_s: float, limit_s: float | None) -> Job | None:
        """Begin a trial that the sampler of a family chooses; None where it keeps repeating what was seen."""
        id, started = self._new_id(family), now()
        with explaining_full_disk(self._run.path):
            drawn = self._studies[family].draw(id, started, seen)
        return None if drawn is None else Job(id, family, drawn[1], drawn[0], started, True, limit_s, expected_s, None)

    def end(self, job: Job, answer: Message) -> Line:
        """Write how a trial ended, as its worker told."""
        own = {"id": job.id, "family": job.family, "params": job.params, "metric": self._metric, "retry_of": job.retry_of}
        return self._write(job, blank_line(**own | answer))

    def end_dead(self, job: Job, state: str, reason: str) -> Line:
        """Write off a trial whose worker is gone, unless it had just committed its forecasts: then it has finished."""
        return self._write(job, self._left_by(job, state, reason))

    def end_with_worker(self, job: Job, how: str) -> Line:
        """Write off a trial whose worker died of itself: due again, or poison if that is not the first time."""
        return self.end_dead(job, *self._verdict(job.family, job.params, WORKER_DIED, how))

    def cut_off(self, jobs: Iterable[Job], reason: str) -> list[Line]:
        """Write off the trials that the end of the search cuts off.

        A server that is away is not waited for long: other searches will find these trials silent, and their lines.
        """
        ends = [(job, self._left_by(job, "stale", reason)) for job in jobs]
        for _, line in ends:
            self._history.add(line)
        with self._server.hurried(LAST_WORDS_S) if self._server is not None else contextlib.nullcontext():
            for job, line in ends:
                self._tell(job, line)
        return [line for _, line in ends]

    def forget(self, job: Job) -> None:
        """Leave no line of a trial that its worker declined to begin."""
        self._studies[job.family].tell(job.number, "stale", None)

    def _write(self, job: Job, line: Line) -> Line:
        """Write a line, first in the ledger."""
        is_mine = self._server is None or job.number in self._studies[job.family].running()
        if not is_mine:  # it was taken for dead, and is due again or runs elsewhere
            self._run.drop(job.id)
            return line | {"state": "stale", "value": None, "reason": "it was silent for too long, and another search took it over"}
        self._history.add(line)
        self._tell(job, line)
        return line

    def _tell(self, job: Job, line: Line) -> None:
        with explaining_full_disk(self._run.path):
            self._studies[job.family].tell(job.number, line["state"], line["value"])

    def _left_by(self, job: Job, state: str, reason: str) -> Line:
        """Describe what a worker that is gone left of a trial."""
        if self._run.has_candidate(job.id):
            return blank_line(**self._run.candidate(job.id).report)
        known = {"started": job.started, "retry_of": job.retry_of, "seconds": job.seconds(), "reason": reason}
        return self._written_off(state, job.id, job.family, job.params, known)

    def _make_agree(self, family: str, study: FamilyStudy) -> None:
        """Make Optuna's study, the ledger and the candidates agree after a search that died."""
        by_id = {line["id"]: line for line in self._history.lines}
        for zombie in study.zombies():
            line = by_id.get(zombie.id) or self._left_behind(family, zombie)
            if zombie.id not in by_id:
                self._history.add(line)
            study.tell(zombie.number, line["state"], line["value"])
            if self._server is not None and line["state"] == "finished":  # the server holds it for failed
                study.add_ended(line)
        known_ids = study.ids() if self._server is None else study.known_ids()
        self._ids |= known_ids
        for line in self._history.lines:
            if line["family"] == family and line["id"] not in known_ids:
                study.add_ended(line)

    def _left_behind(self, family: str, zombie: Zombie) -> Line:
        """Describe what a search that died left of a trial."""
        if self._run.has_candidate(zombie.id):
            return blank_line(**self._run.candidate(zombie.id).report)
        has_begun = self._run.has_begun(zombie.id)
        state, reason = self._verdict(family, zombie.params, SEARCH_DIED) if has_begun else ("stale", f"{INTERRUPTED} before it began")
        known = {"started": zombie.started, "retry_of": zombie.retry_of, "seconds": 0.0, "reason": reason}
        return self._written_off(state, zombie.id, family, zombie.params, known)

    def _verdict(self, family: str, params: Params, death: str, how: str = "") -> tuple[str, str]:
        """Say what becomes of a trial that something died of: it is due again, until it has struck too often."""
        reason = f"{death}: {how}" if how else death
        strikes = 1 + self._history.strikes(family, params, death)
        return ("stale", reason) if strikes < STRIKES[death] else ("failed", f"poison: {reason}, for the {strikes}th time: it is not tried again")

    def _written_off(self, state: str, id: str, family: str, params: Params, known: Mapping[str, object]) -> Line:
        """Describe a trial that left no forecasts."""
        return blank_line(state=state, id=id, family=family, params=params, metric=self._metric, windows=[], truncated=False, **known)

    def _new_id(self, family: str) -> str:
        """Return an id that no trial of this run has had."""
        while True:
            id = f"{family}-{self._history.next_number(family, self._ids):04d}"
            self._ids.add(id)
            if self._server is None or self._run.claim(id):
                return id

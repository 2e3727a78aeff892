"""Trials from begin to end: each has one id, begins in Optuna's journal, and ends in the ledger first: the journal is rebuilt from it."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ensemble_forecast.ledger import Line, now
from ensemble_forecast.search.due import Entry
from ensemble_forecast.search.history import History, blank_line
from ensemble_forecast.search.journal import FamilyStudy, open_storage
from ensemble_forecast.search.protocol import Message
from ensemble_forecast.search.space import FamilySpace, Params
from ensemble_forecast.store import RunFolder, explaining_full_disk


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

    Raises
    ------
    Unfinished
        From every method: the disk is full.
    """

    def __init__(self, run_folder: RunFolder, history: History, tables: Mapping[str, FamilySpace], seed: int, sampler: str, metric: str) -> None:
        self._run, self._history, self._metric = run_folder, history, metric
        self._ids: set[str] = set()
        with explaining_full_disk(run_folder.path):
            storage = open_storage(run_folder.journal_path)
            name = run_folder.path.resolve().name
            self._studies = {family: FamilyStudy(storage, name, table, seed, sampler) for family, table in tables.items()}
            for family, study in self._studies.items():
                self._make_agree(family, study)

    def enter(self, entry: Entry, expected_s: float, limit_s: float | None) -> Job:
        """Begin a trial that is due."""
        assert entry.params is not None
        id, started = self._new_id(entry.family), now()
        with explaining_full_disk(self._run.path):
            number = self._studies[entry.family].enter(id, entry.params, started, entry.retry_of)
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
        if job.id in self._run.candidate_ids():
            return self._write(job, blank_line(**self._run.candidate(job.id).report))
        known = {"started": job.started, "retry_of": job.retry_of, "seconds": job.seconds(), "reason": reason}
        return self._write(job, self._written_off(state, job.id, job.family, job.params, known))

    def forget(self, job: Job) -> None:
        """Leave no line of a trial that its worker declined to begin."""
        self._studies[job.family].tell(job.number, "stale", None)

    def _write(self, job: Job, line: Line) -> Line:
        self._history.add(line)
        with explaining_full_disk(self._run.path):
            self._studies[job.family].tell(job.number, line["state"], line["value"])
        return line

    def _make_agree(self, family: str, study: FamilyStudy) -> None:
        """Make Optuna's study, the ledger and the candidates agree after a driver that died."""
        by_id = {line["id"]: line for line in self._history.lines}
        for zombie in study.zombies():
            line = by_id.get(zombie.id)
            if line is None:
                known = {"started": zombie.started, "retry_of": zombie.retry_of, "seconds": 0.0, "reason": "interrupted"}
                line = self._written_off("stale", zombie.id, family, zombie.params, known)
                self._history.add(line)
            study.tell(zombie.number, line["state"], line["value"])
        known_ids = study.ids()
        self._ids |= known_ids
        for line in self._history.lines:
            if line["family"] == family and line["id"] not in known_ids:
                study.add_ended(line)

    def _written_off(self, state: str, id: str, family: str, params: Params, known: Mapping[str, object]) -> Line:
        """Describe a trial that left no forecasts."""
        return blank_line(state=state, id=id, family=family, params=params, metric=self._metric, windows=[], truncated=False, **known)

    def _new_id(self, family: str) -> str:
        """Return an id that no trial of this run has had."""
        id = f"{family}-{self._history.next_number(family, self._ids):04d}"
        self._ids.add(id)
        return id

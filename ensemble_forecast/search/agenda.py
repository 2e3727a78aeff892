"""What an idle worker does next: open a family's table, run what is due, or run a draw of the family that promises most."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import Config
from ensemble_forecast.registry import NETS, is_cheap
from ensemble_forecast.search import allocation, pruning
from ensemble_forecast.search.choice import Choice
from ensemble_forecast.search.crew import Crew
from ensemble_forecast.search.draws import Draws
from ensemble_forecast.search.due import Due, Entry, Worth
from ensemble_forecast.search.history import History
from ensemble_forecast.search.protocol import Message
from ensemble_forecast.search.reserve import Prospect
from ensemble_forecast.search.rungs import rungs
from ensemble_forecast.search.schedule import Schedule
from ensemble_forecast.search.space import FamilySpace, Space, canonical, config_of
from ensemble_forecast.search.trials import Job, Trials

Jobs = Mapping[str, Job]  # what runs, by id


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How a study is searched; see `driver.search`."""

    families: Sequence[str]
    n_trials: int | None
    trials: Sequence[Config] | None
    transforms: Sequence[str]
    metric: str
    sampler: str
    pruner: str

    def restrict(self, space: Space, kind: str) -> Space:
        """Return what is searched of a space: for a fixed list, one without holes."""
        if self.trials is None:
            return space.under(self.transforms).serving(kind).only(self.families)
        return Space("trials", {trial["family"]: FamilySpace(trial["family"], {}, {}, ({},)) for trial in self.trials}, {})


class Agenda:
    """Chooses what is next, by what has happened so far and by the time left.

    Parameters
    ----------
    space
        What `Rules.restrict` left.
    kind
        What learners must be able to do, see `Task.asked`.
    """

    def __init__(self, history: History, schedule: Schedule, trials: Trials, pool: Crew, space: Space, kind: str, rules: Rules) -> None:
        self._history, self._schedule, self._trials, self._pool = history, schedule, trials, pool
        self._space, self._kind, self._rules = space, kind, rules
        self._choice = Choice(history, schedule, space.families)
        self._draws = Draws(history)
        self._due = Due(history)
        self._opened: set[str] = set()
        self._opening: dict[str, str] = {}  # families by job
        self._declined: set[str] = set()  # canonical configurations that were too much work for the time left
        if rules.trials is None:
            self._due.add_cut_off(space.tables)
            for position, family in enumerate(space.families):
                self._due.add_family(family, position)
        else:
            self._due.add_list((trial["family"], trial["params"]) for trial in rules.trials)

    def opening(self) -> Mapping[str, str]:
        """Families whose tables are being opened, by job."""
        return self._opening

    def n_due(self) -> int:
        """Count what is due."""
        return len(self._due.entries())

    def left(self, jobs: Jobs) -> float:
        """Seconds left for trials."""
        return self._schedule.left(self._prospects(jobs))

    def next(self, device: str, jobs: Jobs) -> tuple[Job | None, Message] | None:
        """Return what a worker of a device is to do, with the trial that begins thereby; None where nothing suits it or would end in time."""
        rules = self._rules
        if rules.n_trials is not None and self._history.n_ended() + len(jobs) >= rules.n_trials:
            return None
        prospects, job = self._prospects(jobs), None
        while job is None and (entry := self._due.take(self._worths(device, prospects))) is not None:
            if entry.params is None:
                return None, self._open(entry.family)
            job = self._enter(entry, prospects)  # None: another search of the study was faster
        if job is None and rules.trials is None:
            job = self._draw(device, jobs, prospects)
        if job is None:
            return None
        return job, {
            "job": "trial", "id": job.id, "family": job.family, "params": job.params, "config": config_of(job.family, job.params),
            **self._pruning(job), "limit_s": job.limit_s, "retry_of": job.retry_of,
            "most_work": self._schedule.most_work(job.family, prospects) if rules.trials is None else None,
        }  # fmt: skip

    def opened(self, answer: Message) -> tuple[str, str] | None:
        """Take a family into the search, or return its name and why it is left out.

        Raises
        ------
        BadInput
            When its table does not fit the learner.
        """
        family = self._opening.pop(answer["id"])
        if answer.get("state") == "refused":
            raise BadInput(answer["reason"])
        if answer.get("state") != "finished":
            return family, answer["reason"]
        if self._kind not in answer["kinds"]:
            return family, f"it does not forecast kind {self._kind!r}"
        self._opened.add(family)
        self._due.add_portfolio(family, self._space.families.index(family), answer["portfolio"], answer["works"])
        return None

    def declined(self, job: Job) -> None:
        """Hear of a trial that its worker found to be too much work for the time left: a draw makes room for another one."""
        if job.drawn:
            self._draws.declined(job.family)
        self._declined.add(canonical(job.family, job.params))

    def finished(self, job: Job, windows: pruning.Windows) -> None:
        """Hear of a trial that finished."""
        if job.drawn:
            self._draws.finished(job.family, windows)

    def add_again(self, jobs: Jobs) -> None:
        """Let what was cut off in mid-search run again."""
        running = {canonical(job.family, job.params) for job in jobs.values()}
        self._due.add_again(self._space.tables, running | self._declined)

    def postponed(self) -> list[tuple[Entry, str]]:
        """Return the entries of the portfolio that there was no time for, with the reason."""
        return [] if self._rules.trials is not None else [(entry, self._choice.why_not(entry)) for entry in self._due.entries()]

    def _open(self, family: str) -> Message:
        """Let a worker check a family's table and complete its portfolio."""
        id = f"open-{family}"
        self._opening[id] = family
        source, transforms = {family: self._space.source[family]}, list(self._rules.transforms)
        return {"job": "open", "id": id, "family": family, "source": source, "where": self._space.where, "transforms": transforms}

    def _enter(self, entry: Entry, prospects: list[Prospect]) -> Job | None:
        """Begin a trial that is due."""
        known = self._typical_s(entry.family) if entry.work is None else self._history.costs.seconds(entry.family, entry.work)
        return self._trials.enter(entry, known, self._schedule.cut_s(prospects))

    def _worths(self, device: str, prospects: list[Prospect]) -> Callable[[Entry], Worth | None]:
        """Return what an entry is worth to an idle worker; a fixed list runs in its order, whatever it costs."""
        if self._rules.trials is not None:
            return lambda entry: (-entry.place[0],) if self._suits(entry.family, device) else None
        n_importing = sum(not is_cheap(family) for family in self._opening.values())
        may_import = 2 * n_importing < len(self._pool.idle()) + len(self._pool.running())  # half of the workers, so that the others go on
        return self._choice.worths(self._due, prospects, lambda family: self._suits(family, device), may_import=may_import)

    def _draw(self, device: str, jobs: Jobs, prospects: list[Prospect]) -> Job | None:
        """Ask the sampler of the family that promises most."""
        may_vary = [family for family in self._space.families if family in self._opened and self._space.tables[family].holes]
        open_ones = [family for family in may_vary if self._draws.are_open(family)]
        records = {family: self._history.record(family) for family in self._space.tables}
        if self._opening:  # others have not had their portfolio yet: only fill the time until they can
            open_ones = [family for family in open_ones if len(records[family].values) < 2 * allocation.TRIED_AT_LEAST]
        for family in allocation.order(records, open_ones):
            if not self._suits(family, device) or not self._choice.may_draw(family, prospects):
                continue
            seen = {*self._history.ended(), *(canonical(job.family, job.params) for job in jobs.values())}
            job = self._trials.draw(family, seen, self._typical_s(family), self._schedule.cut_s(prospects))
            if job is not None:
                return job
            self._draws.exhaust(family)
        return None

    def _pruning(self, job: Job) -> dict[str, Any]:
        """Say when to stop a trial before its end: a drawn one; the portfolio runs to its end."""
        if not job.drawn or self._rules.pruner == pruning.NONE:
            return {"bars": [], "rival": None, "rungs": []}
        own = [line for line in self._history.lines if line["family"] == job.family and line["state"] in ("finished", "pruned")]
        losses, incumbent = [line["windows"] for line in own], self._history.best(job.family)
        n_windows = max((len(windows) for windows in losses), default=1)
        return {
            "bars": pruning.bars(self._rules.pruner, losses, n_windows, job.number),
            "rival": incumbent["id"] if incumbent and self._rules.pruner == pruning.WILCOXON else None,
            "rungs": rungs(own, job.params),
        }

    def _typical_s(self, family: str) -> float:
        """Seconds of a family's typical trial so far."""
        return self._history.record(family).cost_s or 0.0

    def _prospects(self, jobs: Jobs) -> list[Prospect]:
        """Describe what may enter the ensemble."""
        return self._choice.prospects((job.family, job.expected_s) for job in jobs.values())

    def _suits(self, family: str, device: str) -> bool:
        """With a GPU, nets run on it and nowhere else."""
        return not self._pool.has_gpu or device == "cuda" or family not in NETS

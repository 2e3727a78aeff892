"""The search: portfolio first, then what gains most in a second, until the deadline; every trial that ends is on disk."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, Unfinished
from ensemble_forecast.learners.base import Config
from ensemble_forecast.ledger import Line
from ensemble_forecast.registry import NETS, is_cheap
from ensemble_forecast.search import allocation, pruning
from ensemble_forecast.search.choice import Choice
from ensemble_forecast.search.draws import Draws
from ensemble_forecast.search.due import Due, Entry, Worth
from ensemble_forecast.search.history import BUDGET_ENDED, INTERRUPTED, History
from ensemble_forecast.search.pool import Pool, default_workers
from ensemble_forecast.search.protocol import Message
from ensemble_forecast.search.reserve import Prospect
from ensemble_forecast.search.rungs import rungs
from ensemble_forecast.search.schedule import Reserve, Schedule
from ensemble_forecast.search.space import TRANSFORMS, FamilySpace, Space, canonical, config_of
from ensemble_forecast.search.trials import Job, Trials
from ensemble_forecast.store import RunFolder

if TYPE_CHECKING:
    from ensemble_forecast.search.shared import Server

GRACE_S = 5.0  # beyond its limit, before a trial that does not look at its deadline is killed
TICK_S = 0.5

Event = dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """How a search ended: counts over the whole study, and whether anything was left to do."""

    finished: int
    pruned: int
    failed: int
    stale: int
    new: int
    best: Line | None
    nothing_left: bool


def search(
    run_folder: RunFolder,
    panel: Panel,
    task: Task,
    plan_spec: dict[str, Any],
    space: Space,
    families: Sequence[str] = (),
    *,
    deadline: Deadline,
    n_trials: int | None = None,
    trials: Sequence[Config] | None = None,
    transforms: Sequence[str] = TRANSFORMS,
    n_workers: int | None = None,
    device: str = "auto",
    metric: str = "sql",
    sampler: str = "tpe",
    pruner: str = pruning.FORGIVING,
    pool: Pool | None = None,
    reserve: Reserve | None = None,
    storage: "Server | None" = None,
    on_event: Callable[[Event], None] | None = None,
) -> Summary:
    """Run or continue the search of a study.

    Parameters
    ----------
    families
        Names to search; without any, all tables of the space whose learners serve the task's kind.
    n_trials
        Ended trials of the study in total, over all calls.
    trials
        Configs to run, in order, instead of a search.
    transforms
        Transforms that the data allow (see `Space.under`).
    sampler
        Who draws, by name, see `samplers`.
    pruner
        What stops a drawn trial between two windows, by name, see `pruning`.
    pool
        Workers to use and leave running; without it, ``n_workers`` are started and ended here.
    reserve
        Predicts, from what has finished and what runs, the seconds that are needed between the search's end and the deadline.
    storage
        Where other searches may join the study, see `shared.connect`; without it, this one is alone.
    on_event
        Called on every start, end and tick, for a family left out ("skip") and for an entry of the portfolio that there was no time for
        ("postpone"; both with ``family`` and ``reason``). Always told: ``event``, ``left_s``, ``done``, ``best``, ``best_id``, ``best_family``,
        ``running`` (families); at an end the ledger's ``line``.

    Raises
    ------
    BadInput
        When the space does not fit, or another driver holds the run.
    Unfinished
        When the disk is full, the storage stayed away until the deadline, or not a single trial of the study has finished.
    KeyboardInterrupt
        Passed on; what ran is written as stale and due again.
    """
    if storage is not None:
        storage.deadline = deadline
    with run_folder.lock(shared=storage is not None):
        stated = partial(
            _Search, run_folder, task, space, deadline, on_event, families, n_trials, trials, transforms, metric, sampler, pruner, reserve, storage
        )
        if pool is not None:
            return stated(pool).run()
        with Pool(n_workers or default_workers(), run_folder, panel, task, plan_spec, metric=metric, device=device) as own:
            return stated(own).run()


class _Search:
    """One call of `search`: what is due, what runs, what has ended."""

    def __init__(
        self,
        run_folder: RunFolder,
        task: Task,
        space: Space,
        deadline: Deadline,
        on_event: Callable[[Event], None] | None,
        families: Sequence[str],
        n_trials: int | None,
        trials: Sequence[Config] | None,
        transforms: Sequence[str],
        metric: str,
        sampler: str,
        pruner: str,
        reserve: Reserve | None,
        storage: "Server | None",
        pool: Pool,
    ) -> None:
        self.run_folder, self.pool, self.deadline, self.on_event = run_folder, pool, deadline, on_event
        self.kind, self.transforms, self.pruner = task.asked, transforms, pruner
        self.n_trials, self.is_fixed = n_trials, trials is not None
        self.history = History(run_folder, shared=storage is not None)
        self.schedule = Schedule(deadline, self.history.costs, reserve)
        self.new = 0
        self.opened: set[str] = set()
        self.opening: dict[str, str] = {}  # families by job
        self.jobs: dict[str, Job] = {}
        self.declined: set[str] = set()  # canonical configurations that were too much work for the time left
        self.space = space.under(transforms).serving(task.kind).only(families) if trials is None else _space_of(trials)
        self.choice = Choice(self.history, self.schedule, self.space.families)
        self.trials = Trials(run_folder, self.history, self.space.tables, task.seed, sampler, metric, storage)
        self.draws = Draws(self.history)
        self.due = Due(self.history)
        if trials is None:
            self.due.add_cut_off(self.space.tables)
            for position, family in enumerate(self.space.families):
                self.due.add_family(family, position)
        else:
            self.due.add_list((trial["family"], trial["params"]) for trial in trials)

    def run(self) -> Summary:
        """Keep the workers busy until the deadline, or until nothing is left."""
        nothing_left = False
        try:
            while self._left() > 0:
                self._keep_up()
                for device in self.pool.idle():
                    self._start_one(device)
                if not self.jobs and not self.opening and not self.pool.running() and self._is_done():  # an earlier search may have left a worker
                    nothing_left = True
                    break
                for answer in self.pool.poll(min(TICK_S, self._left())):
                    self._settle(answer)
                self._end_overdue()
                self._emit("tick")
        finally:
            for id in self.jobs:
                self.pool.kill(id)
            for line in self.trials.cut_off(self.jobs.values(), BUDGET_ENDED if self._left() <= 0 else INTERRUPTED):
                self._tell_end(line)
            self.jobs.clear()
        self._tell_postponed()
        best = self.history.best()
        states = self.history.states()
        if best is None and self.history.lines:
            reasons = "; ".join(f"{line['id']}: {line['reason']}" for line in self.history.lines[-3:])
            raise Unfinished(f"no trial of {self.run_folder.path} has finished; the last ones: {reasons}")
        counts = {state: states.get(state, 0) for state in ("finished", "pruned", "failed", "stale")}
        return Summary(**counts, new=self.new, best=best, nothing_left=nothing_left)

    def _keep_up(self, *, at_once: bool = False) -> None:
        """Keep in touch with other searches of the study, where there are any."""
        if self.trials.keep_up(self.jobs.values(), at_once=at_once):
            self._add_again()

    def _add_again(self) -> None:
        """Let what was cut off in mid-search run again."""
        running = {canonical(job.family, job.params) for job in self.jobs.values()}
        self.due.add_again(self.space.tables, running | self.declined)

    def _is_done(self) -> bool:
        """Whether nothing is left to do, after a look at what other searches run, and at what they left."""
        known = len(self.due.entries())
        self._keep_up(at_once=True)
        return len(self.due.entries()) == known and not self.trials.others_run(self.jobs.values())

    def _start_one(self, device: str) -> None:
        """Give an idle worker its next job, if there is one that suits it and is expected to end in time."""
        if self.n_trials is not None and self.history.n_ended() + len(self.jobs) >= self.n_trials:
            return
        prospects, job = self._prospects(), None
        while job is None and (entry := self.due.take(self._worths(device))) is not None:
            if entry.params is None:
                self._open(entry.family, device)
                return
            job = self._enter(entry, prospects)  # None: another search of the study was faster
        if job is None:
            job = self._draw(device, prospects)
        if job is None:
            return
        self.jobs[job.id] = job
        self.pool.submit(
            {
                "job": "trial", "id": job.id, "family": job.family, "params": job.params, "config": config_of(job.family, job.params),
                **self._pruning(job), "limit_s": job.limit_s, "retry_of": job.retry_of,
                "most_work": None if self.is_fixed else self.schedule.most_work(job.family, prospects),
            },
            device,
        )  # fmt: skip
        self._emit("start")

    def _open(self, family: str, device: str) -> None:
        """Let a worker check a family's table and complete its portfolio."""
        id = f"open-{family}"
        self.opening[id] = family
        source = {family: self.space.source[family]}
        self.pool.submit(
            {"job": "open", "id": id, "family": family, "source": source, "where": self.space.where, "transforms": list(self.transforms)}, device
        )

    def _opened(self, family: str, answer: Message) -> None:
        """Take a family into the search, or say why it is left out."""
        if answer.get("state") == "refused":
            raise BadInput(answer["reason"])
        if answer.get("state") != "finished":
            self._emit("skip", family=family, reason=answer["reason"])
        elif self.kind not in answer["kinds"]:
            self._emit("skip", family=family, reason=f"it does not forecast kind {self.kind!r}")
        else:
            self.opened.add(family)
            self.due.add_portfolio(family, self.space.families.index(family), answer["portfolio"], answer["works"])

    def _enter(self, entry: Entry, prospects: list[Prospect]) -> Job | None:
        """Begin a trial that is due."""
        known = self._typical_s(entry.family) if entry.work is None else self.history.costs.seconds(entry.family, entry.work)
        return self.trials.enter(entry, known, self.schedule.cut_s(prospects))

    def _worths(self, device: str) -> Callable[[Entry], Worth | None]:
        """Return what an entry is worth to an idle worker; a fixed list runs in its order, whatever it costs."""
        if self.is_fixed:
            return lambda entry: (-entry.place[0],) if self._suits(entry.family, device) else None
        n_importing = sum(not is_cheap(family) for family in self.opening.values())
        may_import = 2 * n_importing < len(self.pool.idle()) + len(self.pool.running())  # half of the workers, so that the others go on
        return self.choice.worths(self.due, self._prospects(), lambda family: self._suits(family, device), may_import=may_import)

    def _draw(self, device: str, prospects: list[Prospect]) -> Job | None:
        """Ask the sampler of the family that promises most."""
        if self.is_fixed:
            return None
        may_vary = [family for family in self.space.families if family in self.opened and self.space.tables[family].holes]
        open_ones = [family for family in may_vary if self.draws.are_open(family)]
        records = {family: self.history.record(family) for family in self.space.tables}
        if self.opening:  # others have not had their portfolio yet: only fill the time until they can
            open_ones = [family for family in open_ones if len(records[family].values) < 2 * allocation.TRIED_AT_LEAST]
        for family in allocation.order(records, open_ones):
            if not self._suits(family, device) or not self.choice.may_draw(family, prospects):
                continue
            seen = {*self.history.ended(), *(canonical(job.family, job.params) for job in self.jobs.values())}
            job = self.trials.draw(family, seen, self._typical_s(family), self.schedule.cut_s(prospects))
            if job is not None:
                return job
            self.draws.exhaust(family)
        return None

    def _pruning(self, job: Job) -> dict[str, Any]:
        """Say when to stop a trial before its end: a drawn one; the portfolio runs to its end."""
        if not job.drawn or self.pruner == pruning.NONE:
            return {"bars": [], "rival": None, "rungs": []}
        own = [line for line in self.history.lines if line["family"] == job.family and line["state"] in ("finished", "pruned")]
        losses, incumbent = [line["windows"] for line in own], self.history.best(job.family)
        n_windows = max((len(windows) for windows in losses), default=1)
        return {
            "bars": pruning.bars(self.pruner, losses, n_windows, job.number),
            "rival": incumbent["id"] if incumbent and self.pruner == pruning.WILCOXON else None,
            "rungs": rungs(own, job.params),
        }

    def _typical_s(self, family: str) -> float:
        """Seconds of a family's typical trial so far."""
        return self.history.record(family).cost_s or 0.0

    def _prospects(self) -> list[Prospect]:
        """Describe what may enter the ensemble."""
        return self.choice.prospects((job.family, job.expected_s) for job in self.jobs.values())

    def _left(self) -> float:
        """Seconds left for trials."""
        return self.schedule.left(self._prospects())

    def _tell_postponed(self) -> None:
        """Say which entries of the portfolio there was no time for."""
        if not self.is_fixed and self.schedule.total_s < math.inf:
            for entry in self.due.entries():
                self._emit("postpone", family=entry.family, params=entry.params, reason=self.choice.why_not(entry))

    def _suits(self, family: str, device: str) -> bool:
        """With a GPU, nets run on it and nowhere else."""
        return not self.pool.has_gpu or device == "cuda" or family not in NETS

    def _settle(self, answer: Message) -> None:
        """Write how a trial ended."""
        if answer["id"] in self.opening:
            self._opened(self.opening.pop(answer["id"]), answer)
            return
        job = self.jobs.pop(answer["id"], None)
        if job is None:
            return
        if answer.get("state") == "declined":  # a draw makes room for another one
            if job.drawn:
                self.draws.declined(job.family)
            self.declined.add(canonical(job.family, job.params))
            self.trials.forget(job)
            return
        if answer["event"] == "died":
            self._tell_end(self.trials.end_with_worker(job, answer["reason"]))
            self._add_again()
            return
        if answer["state"] == "refused":
            answer = answer | {"state": "failed"}
        if job.drawn and answer["state"] == "finished":
            self.draws.finished(job.family, answer["windows"])
        self._learn_cost(job.family, answer)
        self._tell_end(self.trials.end(job, answer))

    def _learn_cost(self, family: str, answer: Message) -> None:
        """Take in what a trial cost; of one that was cut short only if it took longer than expected all the same."""
        work, seconds = answer.get("work", 0.0), answer.get("work_s", 0.0)
        if answer["state"] in {"finished", "pruned"} and (not answer["truncated"] or seconds > self.history.costs.seconds(family, work)):
            self.history.costs.add(family, work, seconds)

    def _end_overdue(self) -> None:
        """Kill trials that do not look at their deadline, and those whose worker has grown too large."""
        reasons = self.pool.too_large()
        for id, seconds in self.pool.running().items():
            job = self.jobs.get(id)
            if job is not None and job.limit_s is not None and seconds > 1.5 * job.limit_s + GRACE_S:
                reasons[id] = f"it did not return within its limit of {job.limit_s:.0f} s and was ended"
        for id, reason in reasons.items():
            self.pool.kill(id)
            if id in self.jobs:
                self._tell_end(self.trials.end_dead(self.jobs.pop(id), "failed", reason))
            elif id in self.opening:
                self._emit("skip", family=self.opening.pop(id), reason=reason)

    def _tell_end(self, line: Line) -> None:
        """Count and tell a trial that has ended."""
        self.new += line["state"] != "stale"
        self._emit("end", line)

    def _emit(self, event: str, line: Line | None = None, **more: Any) -> None:
        """Tell whoever watches how things stand."""
        if self.on_event is None:
            return
        best = self.history.best() or {}
        shown = {"best": best.get("value"), "best_id": best.get("id"), "best_family": best.get("family")}
        running = [job.family for job in self.jobs.values()]
        self.on_event(
            {"event": event, "left_s": self.deadline.left(), "done": self.history.n_ended(), "running": running, "line": line, **shown, **more}
        )


def _space_of(trials: Sequence[Config]) -> Space:
    """Return a space without holes for a fixed list of trials."""
    return Space("trials", {trial["family"]: FamilySpace(trial["family"], {}, {}, ({},)) for trial in trials}, {})

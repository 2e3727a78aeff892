"""The search: portfolio first, then what gains most in a second, until the deadline; every trial that ends is on disk."""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import Unfinished
from ensemble_forecast.learners.base import Config
from ensemble_forecast.ledger import Line
from ensemble_forecast.search import pruning
from ensemble_forecast.search.agenda import Agenda, Rules
from ensemble_forecast.search.crew import Crew
from ensemble_forecast.search.history import BUDGET_ENDED, INTERRUPTED, History
from ensemble_forecast.search.pool import Pool
from ensemble_forecast.search.protocol import Message
from ensemble_forecast.search.schedule import Reserve, Schedule
from ensemble_forecast.search.space import TRANSFORMS, Space
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
    pool: Crew | None = None,
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
    rules = Rules(
        families=families, n_trials=n_trials, trials=trials, transforms=transforms, metric=metric, sampler=sampler, pruner=pruner
    )  # fmt: skip
    with run_folder.lock(shared=storage is not None), contextlib.ExitStack() as stack:
        if pool is None:
            pool = stack.enter_context(Pool(n_workers, run_folder, panel, task, plan_spec, metric=metric, device=device))
        return _Search(run_folder, task, space, rules, pool, deadline, reserve, storage, on_event).run()


class _Search:
    """One call of `search`: what runs, and what has ended."""

    def __init__(
        self,
        run_folder: RunFolder,
        task: Task,
        space: Space,
        rules: Rules,
        pool: Crew,
        deadline: Deadline,
        reserve: Reserve | None,
        storage: "Server | None",
        on_event: Callable[[Event], None] | None,
    ) -> None:
        self.run_folder, self.pool, self.deadline, self.on_event = run_folder, pool, deadline, on_event
        self.history = History(run_folder, shared=storage is not None)
        schedule = Schedule(deadline, self.history.costs, reserve)
        self.is_timed = schedule.total_s < math.inf
        self.new = 0
        self.jobs: dict[str, Job] = {}
        space = rules.restrict(space, task.kind)
        self.trials = Trials(run_folder, self.history, space.tables, task.seed, rules.sampler, rules.metric, storage)
        self.agenda = Agenda(self.history, schedule, self.trials, pool, space, task.asked, rules)

    def run(self) -> Summary:
        """Keep the workers busy until the deadline, or until nothing is left."""
        nothing_left = False
        try:
            while self.agenda.left(self.jobs) > 0:
                self._keep_up()
                for device in self.pool.idle():
                    self._start_one(device)
                # an earlier search may have left a worker at work, and a cluster may have none for a while
                if not self.jobs and not self.pool.running() and self.pool.idle() and self._is_done():
                    nothing_left = True
                    break
                for answer in self.pool.poll(min(TICK_S, self.agenda.left(self.jobs))):
                    self._settle(answer)
                self._end_overdue()
                self._emit("tick")
        finally:
            for id in self.jobs:
                self.pool.kill(id)
            reason = BUDGET_ENDED if self.agenda.left(self.jobs) <= 0 else INTERRUPTED
            for line in self.trials.cut_off(self.jobs.values(), reason):
                self._tell_end(line)
            self.jobs.clear()
        if self.is_timed:
            for entry, why in self.agenda.postponed():
                self._emit("postpone", family=entry.family, params=entry.params, reason=why)
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
            self.agenda.add_again(self.jobs)

    def _is_done(self) -> bool:
        """Whether nothing is left to do, after a look at what other searches run, and then at what they left."""
        n_due, others_run = self.agenda.n_due(), self.trials.others_run(self.jobs.values())
        self._keep_up(at_once=True)
        return self.agenda.n_due() == n_due and not others_run

    def _start_one(self, device: str) -> None:
        """Give an idle worker its next job, if there is one."""
        if (given := self.agenda.next(device, self.jobs)) is None:
            return
        job, message = given
        if job is not None:
            self.jobs[job.id] = job
        self.pool.submit(message, device)
        if job is not None:
            self._emit("start")

    def _settle(self, answer: Message) -> None:
        """Write how a trial ended."""
        if answer["id"] in self.agenda.opening():
            if (left_out := self.agenda.opened(answer)) is not None:
                self._emit("skip", family=left_out[0], reason=left_out[1])
            return
        job = self.jobs.pop(answer["id"], None)
        if job is None:
            return
        if answer.get("state") == "declined":
            self.agenda.declined(job)
            self.trials.forget(job)
            return
        if answer["event"] == "died":
            self._tell_end(self.trials.end_with_worker(job, answer["reason"]))
            self.agenda.add_again(self.jobs)
            return
        if answer["state"] == "refused":
            answer = answer | {"state": "failed"}
        if answer["state"] == "finished":
            self.agenda.finished(job, answer["windows"])
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
            elif id in self.agenda.opening():
                self._settle({"event": "died", "id": id, "reason": reason})

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

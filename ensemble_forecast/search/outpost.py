"""What a Dask worker holds of a search: a worker process below it, and the errands between that and the driver.

Jobs run in a process of their own, started as on the driver's host: its thread variables are set before any import, and it can be ended without the
Dask worker, which others may use too. It works in a folder that the driver never sees; what a job left there travels with the answer.
"""

import math
import re
import shutil
import threading
import uuid
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Status, get_worker

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.ledger import now
from ensemble_forecast.search.pool import Pool
from ensemble_forecast.search.protocol import Message
from ensemble_forecast.store import RunFolder

AT_WORK = {Status.running, Status.paused, Status.closing_gracefully}  # of a Dask worker: any other one has lost its scheduler, or is told to go
TICK_S = 0.2  # between two looks whether the driver still wants an answer

Parcel = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Setting:
    """What workers need to know of a study: sent to each Dask worker once.

    Parameters
    ----------
    work
        The driver's folder for what may be lost, in which reasons name files.
    topic
        Of the events by which workers tell that a job has begun.
    """

    panel: Panel
    task: Task
    plan_spec: dict[str, Any]
    metric: str
    work: str
    topic: str


class Outpost:
    """A worker process and its folder; both go when the driver, or what is left of it, lets go of this object."""

    def __init__(self, setting: Setting, device: str) -> None:
        self._work, self._busy, dask = setting.work, threading.Lock(), get_worker()
        self._run = RunFolder(Path(dask.local_directory) / f"ensemble_forecast-{uuid.uuid4().hex}")
        self._home = self._run.path / "modules"
        limit = dask.memory_manager.memory_limit
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._run.path, ignore_errors=True)
            stack.enter_context(self._run.lock())
            self._home.mkdir()
            self._pool = stack.enter_context(
                Pool(
                    1, self._run, setting.panel, setting.task, setting.plan_spec, metric=setting.metric, device=device,
                    memory=None if limit is None else limit // dask.state.nthreads, home=self._home,
                )
            )  # fmt: skip
            weakref.finalize(self, stack.pop_all().close)

    def do(self, job: Message, is_wanted: Callable[[], bool], begun: Callable[[], None]) -> Message | None:
        """Do a job, and pack what it left; None once nobody wants it any more.

        Parameters
        ----------
        begun
            Called when the job begins: again, where the process had to start first.
        """
        with self._busy:
            self._unpack(job)
            answer = self._wait(job, is_wanted, begun)
            if answer is not None:
                self._pack(job, answer)
            self._run.drop(job["id"])
            return answer

    def _wait(self, job: Message, is_wanted: Callable[[], bool], begun: Callable[[], None]) -> Message | None:
        """Let the process do a job; end it where it grows too large, or nobody waits for it."""
        id, started, took_s = job["id"], now(), math.inf
        self._pool.submit(job | ({"out": str(self._out)} if "out" in job else {}))
        while True:
            before_s, took_s = took_s, self._pool.running()[id]
            if took_s < before_s:
                begun()
            for answer in self._pool.poll(TICK_S):
                return answer
            if not is_wanted():
                self._pool.kill(id)
                return None
            if id in (reasons := self._pool.too_large()):
                self._pool.kill(id)
                known = {"windows": [], "truncated": False, "seconds": took_s, "started": started}
                return {"event": "done", "id": id, "state": "failed", "reason": reasons[id], **known}

    def _unpack(self, job: Message) -> None:
        """Lay down what a job needs: modules of the user's own, and the candidate that it is compared with."""
        for name, source in job.pop("modules").items():
            (self._home / name).write_text(source)
        for id, parcel in job.pop("candidates").items():
            if not self._run.has_candidate(id):
                self._run.commit(id, **parcel)

    def _pack(self, job: Message, answer: Message) -> None:
        """Add what a job left in the folder: a candidate, an artefact, a traceback."""
        id, trace = job["id"], self._run.work / "tracebacks" / f"{job['id']}.txt"
        answer["candidate"] = pack_candidate(self._run, id) if self._run.has_candidate(id) else None
        answer["artefact"] = {path.name: path.read_bytes() for path in self._out.glob("*")}
        answer["traceback"] = trace.read_text() if trace.exists() else None
        if answer.get("reason"):
            answer["reason"] = re.sub(re.escape(str(self._run.work.resolve())), lambda _: self._work, answer["reason"])
        shutil.rmtree(self._out, ignore_errors=True)

    @property
    def _out(self) -> Path:
        return self._run.work.resolve() / "out"


def pack_candidate(run: RunFolder, id: str) -> Parcel:
    """Return a candidate as `RunFolder.commit` takes it."""
    candidate = run.candidate(id)
    forecasts_NHQ = np.array(candidate.forecasts_NHQ)
    return {"config": candidate.config, "forecasts_NHQ": forecasts_NHQ, "origins_N3": candidate.origins_N3, "report": candidate.report}


def do(outpost: Outpost, job: Message, topic: str) -> Message | None:
    """Do a job: the task that Dask runs. Whoever releases it, or vanishes, finds its thread free a moment later."""
    dask = get_worker()
    key = dask.get_current_task()

    def is_wanted() -> bool:
        task = dask.state.tasks.get(key)
        return task is not None and task.state != "cancelled" and dask.status in AT_WORK

    return outpost.do(dict(job), is_wanted, lambda: dask.log_event(topic, {"id": job["id"]}))

"""A worker: a process of one thread that runs trials and refits, one after the other, until its pipe closes.

Standard input brings messages (see `protocol`): first what to work on, then jobs. Standard output carries the answers; whatever code prints
by mistake goes to standard error instead. When the driver dies, its end of the pipe closes and the worker ends at once, also in mid-trial.
"""

import os
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_forecast import atomic
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, MissingPackage, TooShort, TrialPruned, Unfinished
from ensemble_forecast.learners.base import Config, build
from ensemble_forecast.ledger import now
from ensemble_forecast.memory import peak_bytes, resident_bytes
from ensemble_forecast.search.history import blank_line
from ensemble_forecast.search.protocol import Inbox, Message, encode
from ensemble_forecast.search.refit import refit
from ensemble_forecast.search.space import config_of
from ensemble_forecast.search.spaces import parse_space
from ensemble_forecast.search.trial import Outcome, Stages, origins_table, run_trial
from ensemble_forecast.store import RunFolder, explaining_full_disk

ARRAYS = ("start_S", "offsets", "lengths_S", "y", "past", "known", "static")
NAMES = ("ids", "past_names", "known_names", "static_names")


def write_panel(path: Path, panel: Panel) -> None:
    """Lay a panel down for workers: arrays only, nothing that loading could execute."""
    arrays = {name: getattr(panel, name) for name in ARRAYS}
    texts = {name: np.array(getattr(panel, name), dtype=np.str_) for name in NAMES}
    np.savez(path, allow_pickle=False, freq=np.array(panel.freq, dtype=np.str_), **arrays, **texts)


def read_panel(path: Path) -> Panel:
    """Read what `write_panel` wrote."""
    with np.load(path, allow_pickle=False) as file:
        content: dict[str, Any] = {name: file[name] for name in ARRAYS} | {name: tuple(file[name].tolist()) for name in NAMES}
        return Panel(freq=str(file["freq"]), **content)


class Worker:
    """Does the jobs that the driver sends.

    Parameters
    ----------
    answers
        Descriptor to write answers to.
    setting
        The first message: where panel and run lie, task, plan and metric.
    """

    def __init__(self, answers: int, setting: Message) -> None:
        self.answers = answers
        self.run = RunFolder(setting["run"])
        self.metric, self.share_bytes = setting["metric"], setting["share_bytes"]
        self.on_gpu = os.environ.get("ENSEMBLE_FORECAST_DEVICE") == "cuda"
        task = setting["task"]
        self.stages = Stages(read_panel(Path(setting["panel"])), Task(**task | {"quantiles": tuple(task["quantiles"])}), setting["plan_spec"])

    def share_gpu(self, at_most: int, part: float | None) -> Message:
        """Keep to a part of the GPU's memory, and say which, where nets run there; the first worker of a search settles it for all."""
        if not self.on_gpu:
            return {}
        from ensemble_forecast.learners.deep import sharing  # noqa: PLC0415 - torch: seconds, at the start of every worker

        return sharing.take_part(self.stages.size, self.stages.task, at_most, part)

    def tell(self, message: Message) -> None:
        """Send a message to the driver."""
        os.write(self.answers, encode(message))

    def do(self, job: Message) -> Message:
        """Do one job and describe how it went: the one boundary at which any error of a learner ends."""
        begun, started = time.monotonic(), now()
        outcome = Outcome()
        try:
            if job["job"] == "trial":
                result = self._trial(job, outcome, begun, started)
            else:
                result = self._refit(job) if job["job"] == "refit" else self._open(job)
        except TrialPruned as error:
            result = {"state": "pruned", "reason": str(error)}
        except TooShort as error:
            result = {"state": "failed", "reason": f"too short: {error}"}
        except MissingPackage as error:
            result = {"state": "failed", "reason": str(error)}
        except BadInput as error:
            result = {"state": "refused", "reason": str(error)}
        except Unfinished as error:  # the disk is full: no other trial would fare better
            return {"event": "fatal", "id": job["id"], "reason": str(error)}
        except MemoryError as error:
            result = {"state": "failed", "reason": f"out of memory at {_peak_mib():.0f} MiB" + (f": {error}" if str(error) else "")}
        except Exception as error:  # noqa: BLE001
            trace = self.run.work / "tracebacks" / f"{job['id']}.txt"
            atomic.write_text(trace, traceback.format_exc())
            result = {"state": "failed", "reason": f"{type(error).__name__}: {error} (traceback in {trace})"}
        measured = {"seconds": time.monotonic() - begun, "peak_mib": _peak_mib(), "started": started}
        return {"event": "done", "id": job["id"], **_told(outcome), **_work(outcome), **measured, **result}

    def _trial(self, job: Message, outcome: Outcome, begun: float, started: str) -> dict[str, Any]:
        """Run a configuration through all folds and commit what it forecast; decline where it is more work than there is time for."""
        most_work = job.get("most_work")
        if most_work is not None and (work := self._work_of(job["config"])) > most_work:
            return {"state": "declined", "reason": f"its work is {work:.3g}, and there is time for {most_work:.3g}"}
        if not self.on_gpu:  # which refuses by itself
            self._refuse_too_large(job["config"])
        with explaining_full_disk(self.run.path):
            self.run.mark_begun(job["id"])
        deadline = Deadline.never() if job["limit_s"] is None else Deadline.after(job["limit_s"])
        rival = None if job["rival"] is None else self.run.candidate(job["rival"]).forecasts_NHQ
        run_trial(job["config"], self.stages, self.metric, deadline, job["bars"], outcome, rival, job["rungs"])
        known = {"state": "finished", "metric": self.metric, "value": outcome.value, "started": started, **_told(outcome)}
        line = blank_line(**job | known | {"seconds": time.monotonic() - begun, "peak_mib": _peak_mib()})
        report = {**line, "refit": outcome.refit, "fit_origins": outcome.fit_origins, "unserved": outcome.unserved, **_work(outcome)}
        self.run.commit(job["id"], job["config"], np.concatenate(outcome.forecasts), origins_table(self.stages.plan), report)
        return {"state": "finished", "value": outcome.value, "reason": None, "seconds": line["seconds"]}

    def _open(self, job: Message) -> dict[str, Any]:
        """Check a table of the space and complete its portfolio: here, because that imports the learner, which a worker needs anyway."""
        space = parse_space(job["source"], job["where"]).under(job["transforms"]).serving(self.stages.task.kind)
        space.check()
        family = job["family"]
        portfolio = space.portfolio(family)
        works = [self._work_of(config_of(family, params)) for params in portfolio]
        return {"state": "finished", "reason": None, "kinds": space.kinds(family), "portfolio": portfolio, "works": works}

    def _work_of(self, config: Config) -> float:
        """Work of a trial: one fit a window."""
        return len(self.stages.plan.folds) * build(config).work(self.stages.size, self.stages.task)

    def _refuse_too_large(self, config: Config) -> None:
        """Refuse a trial whose training this worker has no room for, before it is ended in the midst of it."""
        needed = resident_bytes(os.getpid()) + build(config).memory(self.stages.size, self.stages.task)
        if needed > self.share_bytes:
            raise MemoryError(f"its training would hold at least {needed / 2**20:.0f} MiB, and a worker may hold {self.share_bytes / 2**20:.0f} MiB")

    def _refit(self, job: Message) -> dict[str, Any]:
        """Fit a recipe on all rows and save it."""
        deadline = Deadline.never() if job["limit_s"] is None else Deadline.after(job["limit_s"])
        facts = refit(job["config"], job["fit_origins"], job["until"], Path(job["out"]), self.stages, deadline)
        return {"state": "finished", "reason": None, **facts}


def main() -> None:
    """Work until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    answers = os.dup(1)
    os.dup2(2, 1)  # a stray print must not corrupt the protocol
    sys.stdout = sys.stderr
    jobs: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    setting = jobs.get()
    worker = Worker(answers, setting)
    worker.tell({"event": "ready"} | worker.share_gpu(setting["gpu_sharers"], setting["gpu_part"]))
    while True:
        worker.tell(worker.do(jobs.get()))


def _listen(jobs: "queue.SimpleQueue[Message]") -> None:
    """Pass messages on; end the process, whatever it is doing, when the driver is gone."""
    inbox = Inbox()
    while piece := os.read(0, 1 << 16):
        for message in inbox.feed(piece):
            jobs.put(message)
    os._exit(0)


def _told(outcome: Outcome) -> dict[str, Any]:
    """Say what a trial left for the ledger, whether or not it finished."""
    return {"windows": outcome.windows, "truncated": outcome.truncated, "curve": outcome.curve, "diagnosis": outcome.diagnosis}


def _work(outcome: Outcome) -> dict[str, float]:
    """Say what work was done and what it took: costs are predicted from it."""
    return {"work": outcome.work, "work_s": outcome.work_s}


def _peak_mib() -> float:
    """Largest resident memory of this process so far, in MiB."""
    return peak_bytes() / 2**20


if __name__ == "__main__":
    main()

"""A learner that misbehaves as it is told, known to every process below a test: what it shows is how the search bears it."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.base import Learner
from ensemble_forecast.windows import Roles

NAME, PLACE = "odd", "odd:Odd"
CUSTOMIZE = f"from ensemble_forecast import registry; registry.LEARNERS[{NAME!r}] = {PLACE!r}\n"


@dataclass(kw_only=True)
class Odd(Learner):
    """Forecast the last value plus ``tag``, after some misbehaviour.

    Parameters
    ----------
    sleeps_s
        Seconds that a fit sleeps, whatever the deadline.
    dies
        Whether a fit kills its process.
    holds_mib
        Memory that a fit fills and keeps.
    """

    family: ClassVar[str] = NAME
    group: ClassVar[str] = "statistical"

    tag: int = 0
    sleeps_s: float = 0.0
    dies: bool = False
    holds_mib: int = 0

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> "Odd":  # noqa: ARG002
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        held = [np.ones(2**17) for _ in range(self.holds_mib)]
        time.sleep(self.sleeps_s)
        self.shape_ = (task.horizon, task.n_outputs)
        del held
        return self

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:  # noqa: ARG002
        last_N = panel.y_filled[origins.rows(panel)] + self.tag
        return np.broadcast_to(last_N[:, None, None], (len(origins), *self.shape_)).copy()


def environment(folder: Path) -> dict[str, str]:
    """Return the variables by which processes below know the learner; ``folder`` takes the file that Python reads at its start."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(CUSTOMIZE)
    path = [str(folder), str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path)}


def study_of(home: Path, sleeps: Sequence[float], budget: str) -> dict[str, Any]:
    """Lay down data, and the pipeline ``mine`` with a trial for each number of seconds to sleep; returns how to call a process there."""
    steps = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=120), "y": 10 + np.sin(np.arange(120.0))})
    steps.to_csv(home / "data.csv", index=False)
    (home / "pipelines").mkdir()
    head = f'source = "data.csv"\nhorizon = 3\nwindows = 2\nseason = 7\nbudget = "{budget}"\n'
    trials = [f'[[trials]]\nfamily = "{NAME}"\nparams = {{ tag = {tag}, sleeps_s = {sleep_s} }}\n' for tag, sleep_s in enumerate(sleeps, start=1)]
    (home / "pipelines" / "mine.toml").write_text(head + "".join(trials))
    return {
        "cwd": home,
        "env": os.environ | environment(home / "python"),
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # in the background of a shell these tests ignore Ctrl-C
    }

"""Trials told to other people's boards as they end: TensorBoard and MLflow, both from the extra ``[tracking]``."""

import abc
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ensemble_forecast.errors import MissingPackage
from ensemble_forecast.ledger import Line

CURVES = ("loss/training", "loss/stop_role")
LONGEST_VALUE = 500  # characters that MLflow keeps of a parameter


class Board(abc.ABC):
    """Something that shows trials."""

    @abc.abstractmethod
    def show(self, line: Line) -> None:
        """Show a trial that has ended.

        Raises
        ------
        OSError
            When the board cannot be written to.
        """


class TensorBoard(Board):
    """Event files in ``<run>/tensorboard``, a folder a trial: ``tensorboard --logdir <run>/tensorboard``."""

    def __init__(self, run: Path, study: str) -> None:  # noqa: ARG002 - a folder needs no name
        self._folder = run / "tensorboard"
        try:
            from tensorboardX import SummaryWriter  # noqa: PLC0415 - an extra, and slow to import
        except ImportError as error:
            raise _missing("tensorboard") from error
        self._writer = SummaryWriter

    def show(self, line: Line) -> None:
        """Write the trial's loss, its curve, and the rest as text."""
        writer = self._writer(str(self._folder / line["id"]), write_to_disk=True)
        if line["value"] is not None:
            writer.add_scalar(line["metric"], line["value"], 0)
        for step, name, loss in _points(line):
            writer.add_scalar(name, loss, step)
        writer.add_text("trial", json.dumps({key: line[key] for key in ("family", "params", "state", "reason", "diagnosis")}), 0)
        writer.close()


class MlFlow(Board):
    """Runs of an experiment named after the study, at MLFLOW_TRACKING_URI or in ``<run>/mlflow.db``: ``mlflow ui --backend-store-uri ...``."""

    def __init__(self, run: Path, study: str) -> None:
        try:
            from mlflow.tracking import MlflowClient  # noqa: PLC0415 - an extra, and slow to import
        except ImportError as error:
            raise _missing("mlflow") from error
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{(run / 'mlflow.db').resolve()}"))
        experiment = self._client.get_experiment_by_name(study)
        self._experiment = experiment.experiment_id if experiment else self._client.create_experiment(study)

    def show(self, line: Line) -> None:
        """Log parameters, the loss, and the curve."""
        from mlflow.entities import Metric, Param  # noqa: PLC0415 - an extra, and slow to import
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        params = [Param(name, str(value)[:LONGEST_VALUE]) for name, value in {"family": line["family"], **line["params"]}.items()]
        points = _points(line) + ([(0, line["metric"], line["value"])] if line["value"] is not None else [])
        now_ms = int(1000 * time.time())
        try:
            run = self._client.create_run(self._experiment, run_name=line["id"], tags={"state": line["state"], "diagnosis": line["diagnosis"] or ""})
            self._client.log_batch(run.info.run_id, [Metric(name, value, now_ms, step) for step, name, value in points], params)
            self._client.set_terminated(run.info.run_id, "FINISHED" if line["state"] == "finished" else "FAILED")
        except MlflowException as error:
            raise OSError(f"MLflow: {error}") from error


BOARDS: dict[str, Callable[[Path, str], Board]] = {"tensorboard": TensorBoard, "mlflow": MlFlow}


def board(name: str, run: Path, study: str) -> Board:
    """Open a board by name.

    Raises
    ------
    MissingPackage
        When the extra is not installed.
    """
    return BOARDS[name](run, study)


def _points(line: Line) -> list[tuple[int, str, float]]:
    """Return the known losses of a curve with their steps."""
    points: list[Any] = line["curve"] or []
    return [(int(point[0]), name, float(loss)) for point in points for name, loss in zip(CURVES, point[1:3], strict=True) if loss is not None]


def _missing(name: str) -> MissingPackage:
    return MissingPackage(f'track = "{name}" needs a package that is not installed: pip install "ensemble-forecast[tracking]"')

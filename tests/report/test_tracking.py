"""What boards are told of a trial: read back from what they wrote."""

import struct
import sys
from typing import get_args

import pytest
from mlflow.tracking import MlflowClient
from tensorboardX.proto.event_pb2 import Event

from ensemble_forecast import workflow
from ensemble_forecast.errors import MissingPackage
from ensemble_forecast.pipeline import Pipeline
from ensemble_forecast.report.tracking import BOARDS, board
from ensemble_forecast.study import open_study, silent
from ensemble_forecast.workflow import pipeline_for

LINE = {
    "id": "mlp-0001", "family": "mlp", "params": {"width": 64, "transform": "log"}, "state": "finished", "metric": "sql", "value": 0.7,
    "windows": [0.6, 0.8], "truncated": False, "seconds": 3.0, "peak_mib": 100.0, "started": "2026-01-01T00:00:00+00:00", "reason": None,
    "retry_of": None, "curve": [[0, 1.0, 2.0, 0.0], [50, 0.8, None, 0.5], [100, 0.7, 1.6, 1.0]], "diagnosis": "sound: it fell",
}  # fmt: skip
FAILED = LINE | {"id": "mlp-0002", "state": "failed", "value": None, "windows": [], "reason": "too short", "curve": None, "diagnosis": None}


def events_of(folder):
    """Scalars (name, step, value) in the event files below a folder."""
    found = []
    for path in sorted(folder.rglob("events.*")):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack_from("<Q", content, place)
            event = Event.FromString(content[place + 12 : place + 12 + length])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value if value.HasField("simple_value")]
            place += 16 + length
    return found


def test_tensorboard_is_told_the_loss_and_the_curve(tmp_path):
    shown = board("tensorboard", tmp_path, "btc")
    shown.show(LINE)
    shown.show(FAILED)
    scalars = {(name, step): value for name, step, value in events_of(tmp_path / "tensorboard" / "mlp-0001")}
    assert scalars[("sql", 0)] == pytest.approx(0.7)
    assert scalars[("loss/stop_role", 100)] == pytest.approx(1.6)
    assert ("loss/stop_role", 50) not in scalars
    assert scalars[("loss/training", 50)] == pytest.approx(0.8)
    assert events_of(tmp_path / "tensorboard" / "mlp-0002") == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what MLflow calls
def test_mlflow_is_told_parameters_loss_curve_and_state(tmp_path):
    for line in (LINE, FAILED):
        board("mlflow", tmp_path, "btc").show(line)  # a board opened again goes on
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = {run.info.run_name: run for run in client.search_runs([client.get_experiment_by_name("btc").experiment_id])}
    assert runs["mlp-0001"].data.params == {"family": "mlp", "width": "64", "transform": "log"}
    assert runs["mlp-0001"].data.metrics["sql"] == pytest.approx(0.7)
    assert [point.value for point in client.get_metric_history(runs["mlp-0001"].info.run_id, "loss/stop_role")] == [2.0, 1.6]
    assert runs["mlp-0002"].info.status == "FAILED"


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboardX"), ("mlflow", "mlflow.tracking")])
def test_a_missing_package_is_named_with_the_way_to_get_it(tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match=r"ensemble-forecast\[tracking\]"):
        board(name, tmp_path, "btc")


def test_every_board_of_the_pipeline_exists():
    assert {"none", *BOARDS} == set(get_args(Pipeline.model_fields["track"].annotation))


def test_a_board_that_is_down_is_left_and_the_search_goes_on(tmp_path, monkeypatch):
    class Down:
        def show(self, _line):
            raise OSError("no answer")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(BOARDS, "tensorboard", lambda _run, _study: Down())
    study = open_study(
        "btc", tmp_path / "runs", pipeline_for("btc", {"families": ("naive", "drift"), "budget": "20s", "track": "tensorboard"}), log=silent
    )
    with pytest.warns(UserWarning, match="not shown any more: no answer"):
        workflow.run_search(study)
    assert len(study.folder.ledger()) == 2


def test_a_search_shows_every_trial(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pipeline = pipeline_for("btc", {"families": ("naive", "drift"), "budget": "20s", "track": "tensorboard"})
    study = open_study("btc", tmp_path / "runs", pipeline, log=silent)
    workflow.run_search(study)
    assert {path.name for path in (study.folder.path / "tensorboard").iterdir()} == {line["id"] for line in study.folder.ledger()}

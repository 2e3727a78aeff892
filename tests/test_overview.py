"""What a run tells about itself beyond the table."""

import json
import time

import pandas as pd
import pytest
from commands import typed
from handmade import handmade

from ensemble_forecast.overview import failures, transfers
from ensemble_forecast.store import LEDGER_FIELDS


def row(rank, family, value, **params):
    return {
        "rank": rank,
        "id": f"{family}-{rank or 0:04d}",
        "family": family,
        "state": "finished" if rank else "failed",
        "value": value,
        "params": params,
    }


@pytest.mark.parametrize(
    ("board", "said"),
    [
        ([row(1, "mlp", 0.8, start="old"), row(2, "mlp", 0.9)], ["mlp: starting from old pays: 0.8000 (mlp-0001), 0.9000 from scratch (mlp-0002)"]),
        (
            [row(1, "ridge", 0.7), row(2, "mlp", 0.8), row(3, "mlp", 0.9, start="old"), row(4, "mlp", 0.95, start="older")],
            ["mlp: starting from old does not pay: 0.9000 (mlp-0003), 0.8000 from scratch (mlp-0002)"],
        ),
        (
            [row(1, "mlp", 0.8, start="old"), row(None, "mlp", None), row(2, "gru", 0.9, start="")],
            ["mlp: starting from old cannot be judged: no candidate from scratch is finished"],
        ),
        ([row(1, "ridge", 0.7), row(None, "mlp", None, start="old")], []),
    ],
    ids=["pays", "does not", "alone", "none"],
)
def test_it_says_whether_a_start_from_elsewhere_pays(board, said):
    assert transfers(board) == said


def line(family, number, state="finished", value=1.0, reason=None):
    known = {"id": f"{family}-{number:04d}", "family": family, "state": state, "value": value, "seconds": 2.0, "reason": reason}
    return dict.fromkeys(LEDGER_FIELDS) | known | {"started": "2026-01-01T00:00:00+00:00"}


@pytest.fixture
def run(tmp_path):
    """A study with one trial that finished and two that failed alike, and half a line that is being written."""
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=40), "y": [i % 7 + 0.1 * i for i in range(40)]})
    handmade(tmp_path, frame, "naive")
    lines = [line("naive", 1), line("mlp", 1, "failed", None, "out of memory: [300] MiB"), line("gru", 1, "failed", None, "out of memory: [500] MiB")]
    (tmp_path / "toy/ledger.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines) + '{"id": "mlp')
    return tmp_path / "toy"


def test_watching_reads_only_and_ends_well_when_interrupted(run, monkeypatch, capsys):
    def contents():
        return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    before, naps = contents(), []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", nap)
    assert typed("status", "--runs", run.parent, "--watch") == 0
    assert len(naps) == 2, "it looked again after the first nap"
    assert contents() == before
    assert "1 trials finished" in capsys.readouterr().out


def test_the_status_groups_failures_by_reason(run, capsys):
    assert typed("status", "--runs", run.parent) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "failed 2 gru, mlp out of memory: [300] MiB (mlp-0001)" in shown
    assert typed("status", "--runs", run.parent, "--json") == 0
    assert json.loads(capsys.readouterr().out)["failures"][0]["count"] == 2


def test_failures_of_one_kind_are_counted_together():
    told = failures(
        [
            line("mlp", 1, "failed", None, "out of memory: 300 MiB"),
            line("gru", 1, "failed", None, "out of memory: 500 MiB"),
            line("gru", 2, "pruned", None, "after window 0"),
            line("gru", 3, "stale", None, None),
            line("ridge", 1),
        ]
    )
    assert [(row["state"], row["count"], row["families"]) for row in told] == [
        ("failed", 2, ["gru", "mlp"]),
        ("pruned", 1, ["gru"]),
        ("stale", 1, ["gru"]),
    ]
    assert told[0]["reason"] == "out of memory: 300 MiB"
    assert told[2]["reason"] == "no reason was recorded"

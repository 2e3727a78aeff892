import json
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import typed
from hatchling.builders.wheel import WheelBuilder

from ensemble_forecast import pipeline as pipelines
from ensemble_forecast.registry import families
from ensemble_forecast.search.spaces import load_space
from ensemble_forecast.store import LEDGER_FIELDS
from ensemble_forecast.study import open_study, silent

ROOT = Path(__file__).parents[1]


@pytest.fixture
def in_home(smoke_home, monkeypatch):
    monkeypatch.chdir(smoke_home)
    return smoke_home


def test_a_run_holds_every_file_that_others_read(in_home):
    run = in_home / "runs/smoke"
    for name in ("pipeline.toml", "journal.log", "ledger.jsonl", "ensemble/manifest.json", "judged/manifest.json", "verdict.json"):
        assert (run / name).is_file(), name
    lines = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    assert all(tuple(line) == LEDGER_FIELDS for line in lines)
    finished = {line["id"] for line in lines if line["state"] == "finished"}
    assert finished == {path.name for path in (run / "candidates").iterdir()}
    for id in finished:
        assert {path.name for path in (run / "candidates" / id).iterdir()} == {"config.json", "forecasts.npy", "origins.npy", "report.json"}
    resolved = tomllib.loads((run / "pipeline.toml").read_text())["resolved"]
    assert {"data_end", "data_hash", "versions", "windows"} <= set(resolved)


def test_the_verdict_is_one_of_three_and_counts_trials_and_openings(in_home):
    verdict = json.loads((in_home / "runs/smoke/verdict.json").read_text())
    assert verdict["verdict"] in {"evidence of skill", "weak evidence", "no evidence of skill"}
    assert set(verdict["tests"]) == {"naive", "seasonal_naive", "mean_change", "mean_level", "last_sign"}
    assert len(verdict["opened_at"]) == verdict["openings"]
    assert verdict["search"]["reason"] is None
    assert {row["cost_bp"] for row in verdict["backtest"]["table"]} == {0, 2, 5, 10, 20}
    assert verdict["trials"] == len((in_home / "runs/smoke/ledger.jsonl").read_text().splitlines())
    assert verdict["openings"] >= 1


def test_a_second_opening_is_allowed_and_counted(in_home, capsys):
    before = json.loads((in_home / "runs/smoke/verdict.json").read_text())["openings"]
    assert typed("evaluate", "--study", "smoke", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["openings"] == before + 1
    assert told == json.loads((in_home / "runs/smoke/verdict.json").read_text())
    assert typed("evaluate", "--study", "smoke") == 0
    shown = capsys.readouterr().out
    assert told["verdict"] in shown.lower()
    for words in ("Diebold-Mariano", "superior ability", "shuffled changes", "20 bp"):
        assert words in shown


def test_an_opening_counts_even_where_the_judgement_does_not_end(in_home, monkeypatch):
    before = json.loads((in_home / "runs/smoke/verdict.json").read_text())["openings"]
    monkeypatch.setattr("ensemble_forecast.judging.judge", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        typed("evaluate", "--study", "smoke", "--quiet")
    assert json.loads((in_home / "runs/smoke/verdict.json").read_text())["openings"] == before + 1


def test_a_second_search_says_that_nothing_is_left(in_home, capsys):
    before = (in_home / "runs/smoke/ledger.jsonl").read_bytes()
    assert typed("search", "--study", "smoke", "--budget", "1s", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ran"] == 0
    assert "nothing left" in answer["sentence"]
    assert (in_home / "runs/smoke/ledger.jsonl").read_bytes() == before


def test_a_second_stack_says_that_nothing_is_left(in_home, capsys):
    before = (in_home / "runs/smoke/ensemble/manifest.json").read_bytes()
    assert typed("stack", "--study", "smoke", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert "nothing left" in answer["notes"][-1]
    assert answer["members"]
    assert (in_home / "runs/smoke/ensemble/manifest.json").read_bytes() == before


def test_predict_writes_tables_and_a_page_that_needs_no_network(in_home, tmp_path):
    assert typed("predict", "--study", "smoke", "--out", tmp_path / "f.csv", "--plot", tmp_path / "f.html") == 0
    assert typed("predict", "--out", tmp_path / "f.parquet", "--quiet") == 0
    table = pd.read_csv(tmp_path / "f.csv", parse_dates=["ds"])
    assert len(table) == 7
    assert table["ds"].is_monotonic_increasing
    pd.testing.assert_frame_equal(table, pd.read_parquet(tmp_path / "f.parquet"), check_dtype=False)
    page = (tmp_path / "f.html").read_text()
    assert "<script src=" not in page
    assert "0.1 to 0.9" in page


@pytest.mark.parametrize(
    "argv",
    [
        ["status", "--study", "smoke"],
        ["predict", "--study", "smoke"],
        ["list", "learners"],
        ["list", "studies"],
        ["list", "spaces"],
        ["list", "combiners"],
    ],
    ids=" ".join,
)
def test_json_is_exactly_one_object_on_standard_output(argv, in_home, capsys):
    assert typed(*argv, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert isinstance(answer, dict)
    if argv[0] == "list":
        told = {"name", "summary"} | ({"families"} if argv[1] == "spaces" else set())
        assert all(set(entry) == told for entry in answer[argv[1]])
        assert all(entry["summary"] for entry in answer[argv[1]])


@pytest.mark.parametrize(
    "argv", [["status"], ["status", "--quiet"], ["list", "features"], ["list", "learners", "--quiet"], ["predict"]], ids=" ".join
)
def test_the_plain_output_says_something(argv, in_home, capsys):
    assert typed(*argv) == 0
    assert len(capsys.readouterr().out) > 20


def test_doctor_mends_a_descending_file_so_that_a_search_accepts_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=90), "price": range(100, 190)}).iloc[::-1]
    frame.to_csv("down.csv", index=False)
    assert typed("doctor", "--data", "down.csv") == 2
    assert "sort" in capsys.readouterr().out.lower()
    assert typed("doctor", "--data", "down.csv", "--fix", "up.csv") == 0
    assert typed("search", "--study", "mine", "--data", "up.csv", "--horizon", "3", "--space", "smoke", "--families", "naive,drift") == 0
    assert (tmp_path / "pipelines/mine.toml").is_file()
    assert typed("search", "--study", "mine") == 0, "the file that was written can be run"


def test_newer_rows_serve_predict_and_leave_the_study_as_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=120), "y": [100 + i % 7 + 0.1 * i for i in range(120)]})
    frame.head(110).to_csv("data.csv", index=False)
    start = ["search", "--study", "mine", "--data", "data.csv", "--horizon", "3", "--space", "smoke", "--families", "naive,drift", "--quiet"]
    assert typed(*start) == 0
    assert typed("stack", "--study", "mine", "--budget", "20s", "--quiet") == 0
    frame.to_csv("data.csv", index=False)
    assert typed("stack", "--study", "mine", "--budget", "20s", "--quiet") == 0
    capsys.readouterr()
    assert typed("predict", "--study", "mine", "--json") == 0
    first = json.loads(capsys.readouterr().out)["forecast"][0]["ds"]
    assert first.startswith("2024-04-30"), "the day after the newest row"


def test_fresh_renames_the_old_run_aside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"date": pd.date_range("2024-01-01", periods=90), "y": [i % 7 for i in range(90)]}).to_csv("data.csv", index=False)
    start = ["search", "--study", "mine", "--data", "data.csv", "--horizon", "3", "--space", "smoke", "--families", "naive", "--quiet"]
    assert typed(*start) == 0
    assert typed(*start, "--fresh") == 0
    assert len([path for path in (tmp_path / "runs").iterdir() if path.name.startswith("mine")]) == 2


@pytest.mark.parametrize("name", sorted(pipelines.names("pipelines")))
def test_every_shipped_pipeline_is_sound_and_names_a_sound_space(name):
    pipeline = pipelines.read(pipelines.find(name, "pipelines"))
    space = load_space(pipeline.space)
    space.check()
    assert any(pipeline.kind in space.kinds(family) for family in space.only(pipeline.families).families)


@pytest.mark.parametrize(("name", "kind", "horizon"), [("btc_hourly", "quantiles", 24), ("btc_direction_hourly", "direction", 1)])
def test_the_hourly_pipelines_build_a_study_of_hourly_candles_with_a_gap(tmp_path, name, kind, horizon):
    """Without a network: the candles of their source come from a file."""
    rng = np.random.default_rng(0)
    price = 100 * np.exp(np.cumsum(0.01 * rng.normal(size=(1500, 1)), axis=0)) * (1 + 0.01 * np.array([0, 1, -1, 0]))
    table = pd.DataFrame(price, columns=["open", "high", "low", "close"]).assign(ds=pd.date_range("2024-01-01", periods=1500, freq="h"), volume=1.0)
    table.drop(index=range(700, 705)).to_csv(tmp_path / "candles.csv", index=False)
    shipped = pipelines.read(pipelines.find(name, "pipelines"))
    study = open_study("hourly", tmp_path, shipped.model_copy(update={"source": str(tmp_path / "candles.csv")}), log=silent)
    assert (study.task.kind, study.task.horizon, study.task.season_length, study.panel.freq) == (kind, horizon, 24, "h")
    assert len(study.panel.y) == 1500
    assert len(study.plan.test) > 200
    assert pipelines.is_source(shipped.source)


def test_every_family_stands_in_a_shipped_space():
    """Those that need an extra are not in the default one: what a search finds must not depend on what else is installed; nor are very deep nets."""
    spaces = {name: set(load_space(name).families) for name in ("default", "statistical", "deep", "wide", "ultimate-2000")}
    without_files = set(families()) - {"pretrained"}  # which needs to be told where its weights are
    assert without_files <= set.union(*spaces.values())
    assert without_files - spaces["default"] - spaces["deep"] == {"ces", "mstl", "arima", "deep"}


def test_a_pipeline_survives_being_written_and_read(tmp_path):
    pipeline = pipelines.read(pipelines.find("btc", "pipelines"))
    fixed = pipeline.model_copy(update={"trials": ({"family": "ridge", "params": {"context": 9}},)})
    pipelines.write(fixed, tmp_path / "again.toml")
    assert pipelines.read(tmp_path / "again.toml") == fixed


def test_the_wheel_brings_spaces_pipelines_the_sample_and_the_style(tmp_path):
    wheel = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"]))
    names = set(zipfile.ZipFile(wheel).namelist())
    for file in ("search_spaces/default.toml", "pipelines/btc.toml", "data/btc_usd_daily.csv", "report/page.css"):
        assert f"ensemble_forecast/{file}" in names

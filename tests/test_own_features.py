"""A study on feature sets, one of them the user's own: searched, stacked, saved, and loaded with leave alone."""

import json

import pytest
from candles import SETS
from commands import typed

import ensemble_forecast as ef
from ensemble_forecast.data.samples import btc_usd_daily
from ensemble_forecast.errors import BadInput
from ensemble_forecast.study import reopen, silent

PIPELINE = """
source = "btc_usd_daily"
target = "close"
horizon = 2
season = 7
windows = 2
budget = "60s"
features = ["candles", "momentum", "trend", "candles:range_only"]

[[trials]]
family = "naive"
params = {}

[[trials]]
family = "selected"
params = {member = {family = "ridge", params = {}}, most = 5}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "pipelines").mkdir()
        (folder / "pipelines/own.toml").write_text(PIPELINE)
        assert typed("search", "--study", "own", "--quiet") == 0
        assert typed("stack", "--study", "own", "--budget", "20s", "--combiner", "mean", "--quiet") == 0
    return folder


def test_learners_are_shown_the_columns_of_every_set(home):
    panel = reopen("own", home / "runs", log=silent).panel
    assert {"log_range", "momentum_rsi_14", "trend_adx_14", "range_only_range"} < set(panel.past_names)
    assert not {"open", "high", "low"} & set(panel.past_names)
    ledger = [json.loads(line) for line in (home / "runs/own/ledger.jsonl").read_text().splitlines()]
    assert ("selected", "finished") in {(line["family"], line["state"]) for line in ledger}


def test_a_saved_ensemble_runs_no_code_of_ones_own_unless_told(home):
    folder = home / "runs/own/ensemble"
    with pytest.raises(BadInput, match=r"candles:range_only.*allow="):
        ef.load(folder)
    forecast = ef.load(folder, allow=["candles:range_only"]).predict(btc_usd_daily())
    assert len(forecast) == 2
    assert forecast.drop(columns=["unique_id", "ds"]).notna().all().all()


def test_the_command_line_may_run_what_its_pipeline_names(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    capsys.readouterr()
    assert typed("predict", "--study", "own", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["forecast"]) == 2


def test_list_features_shows_every_column_with_its_set(capsys):
    capsys.readouterr()
    assert typed("list", "features", "--json") == 0
    entries = {entry["name"]: entry["summary"] for entry in json.loads(capsys.readouterr().out)["features"]}
    columns = {name: summary for name, summary in entries.items() if summary.startswith("in set ")}
    assert len(columns) >= 250
    assert columns["momentum_rsi_14"] == "in set momentum"
    assert {"candles", *SETS} <= set(entries)
    assert {summary.removeprefix("in set ") for summary in columns.values()} == {"candles", *SETS}

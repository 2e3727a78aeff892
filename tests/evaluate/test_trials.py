import json

import numpy as np
import pandas as pd
import pytest

from ensemble_forecast.data.origins import outcome
from ensemble_forecast.evaluate.trials import judge_trials
from ensemble_forecast.pipeline import check
from ensemble_forecast.search.trial import origins_table
from ensemble_forecast.store import LEDGER_FIELDS
from ensemble_forecast.study import FRAME, open_study, silent

LEVELS = np.array([-1.28, -0.84, -0.52, -0.25, 0, 0.25, 0.52, 0.84, 1.28])


def line(id, state):
    told = {"id": id, "family": id.split("-")[0], "state": state, "value": 1.0, "seconds": 0.1, "started": "2026-01-01T00:00:00.000+00:00"}
    return dict.fromkeys(LEDGER_FIELDS) | told


def searched(folder, hints, *, pruned=0, horizon=1, kind="quantiles", n_series=1, length=700):
    """A study whose candidates see so much of the coming change (0: nothing), with noise of their own."""
    rng = np.random.default_rng(0)
    frames = [
        pd.DataFrame({"unique_id": f"s{i}", "ds": pd.date_range("2020-01-01", periods=length), "y": 100 + rng.normal(size=length).cumsum()})
        for i in range(n_series)
    ]
    settings = {"source": FRAME, "horizon": horizon, "kind": kind, "season": 1, "features": []}
    study = open_study("trials", folder, check(settings, "test"), frame=pd.concat(frames), log=silent)
    scored, expected_N3 = study.plan.scored, origins_table(study.plan)
    truth_NH, last_N = outcome(study.panel, scored, study.task), study.panel.y_filled[scored.rows(study.panel)]
    for number, hint in enumerate(hints):
        if kind == "direction":
            up_NH = np.clip(0.5 + hint * (truth_NH - 0.5) + 0.02 * rng.normal(size=truth_NH.shape), 0.02, 0.98)
            forecast = np.stack([1 - up_NH, up_NH], axis=-1)
        else:
            centre_NH = last_N[:, None] + hint * (truth_NH - last_N[:, None]) + 0.1 * rng.normal(size=truth_NH.shape)
            forecast = centre_NH[..., None] + LEVELS * np.sqrt(np.arange(1, horizon + 1))[:, None]
        id = f"{'ridge' if hint else 'theta'}-{number:04d}"
        study.folder.commit(id, {"family": id.split("-")[0], "params": {}}, forecast.astype(np.float32), expected_N3, {"family": id.split("-")[0]})
        study.folder.append(line(id, "finished"))
    for number in range(pruned):
        study.folder.append(line(f"mlp-{number:04d}", "pruned" if number % 2 else "failed"))
    return study


def judged(study, *, trades=False):
    answer = judge_trials(study.folder, study.panel, study.task, study.plan, trades=trades)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    return answer


@pytest.mark.parametrize("kind", ["quantiles", "direction"])
def test_a_search_without_skill_shows_none(tmp_path, kind):
    answer = judged(searched(tmp_path, [0.0] * 12, kind=kind))
    assert answer["spa"] > 0.05
    assert answer["reality_check"] > 0.05
    assert answer["compared"] == 12
    assert answer["deflated_sharpe"]["probability"] < 0.95
    rivals = {"base_rate", "coin", "last_sign"} if kind == "direction" else {"naive", "mean_change", "mean_level", "last_sign"}
    assert answer["best_naive"] in rivals


@pytest.mark.parametrize("kind", ["quantiles", "direction"])
def test_one_real_find_among_many_shows_in_every_figure(tmp_path, kind):
    answer = judged(searched(tmp_path, [0.0] * 12 + [0.3], kind=kind))
    assert answer["best"] == "ridge-0012"
    assert answer["spa"] < 0.01
    assert answer["backtest_overfitting"] == 0
    assert answer["deflated_sharpe"]["best"] == "ridge-0012"
    assert answer["deflated_sharpe"]["probability"] > 0.95
    assert answer["confidence_set"]["members"] == ["ridge-0012"]


def test_pruned_and_failed_trials_count_in_the_number_and_make_the_best_less_believable(tmp_path):
    few, many = judged(searched(tmp_path / "few", [0.0] * 5 + [0.12])), judged(searched(tmp_path / "many", [0.0] * 5 + [0.12], pruned=500))
    assert (few["trials"], many["trials"]) == (6, 506)
    assert (many["finished"], many["pruned"], many["failed"], many["compared"]) == (6, 250, 250, 6)
    assert many["deflated_sharpe"]["to_beat"] > few["deflated_sharpe"]["to_beat"]
    assert many["deflated_sharpe"]["probability"] < few["deflated_sharpe"]["probability"]
    assert many["spa"] == few["spa"], "they left no forecasts to compare"


def test_of_a_price_the_sharpe_ratio_is_that_of_trading(tmp_path):
    study = searched(tmp_path, [0.0, 0.0, 0.5])
    answer = judged(study, trades=True)["deflated_sharpe"]
    assert "trading" in answer["of"]
    scored, y = study.plan.scored, study.panel.y
    called = np.sign(study.folder.candidate("ridge-0002").forecasts_NHQ[:, 0, 4] - y[scored.step])
    earned = called * (y[scored.step + 1] / y[scored.step] - 1)
    assert answer["sharpe"] == pytest.approx(earned.mean() / earned.std(), rel=0.02)


def test_blocks_span_the_horizon(tmp_path):
    assert judged(searched(tmp_path, [0.0] * 4, horizon=7))["block"] >= 7


def test_windows_at_a_few_times_are_too_few_and_say_so(tmp_path):
    answer = judged(searched(tmp_path, [0.0, 0.5], pruned=1, n_series=25, length=60))
    assert "are needed to compare trials" in answer["reason"]
    assert (answer["trials"], answer["finished"], "spa" in answer) == (3, 2, False)

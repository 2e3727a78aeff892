import json

import numpy as np
import pandas as pd
import pytest

from ensemble_forecast import stacking
from ensemble_forecast.data.samples import btc_usd_daily
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.findings.run import findings
from ensemble_forecast.forecaster import load
from ensemble_forecast.judging import _refuse_peeking, run_evaluate
from ensemble_forecast.pipeline import check
from ensemble_forecast.report.page import to_page
from ensemble_forecast.study import FRAME, open_study, silent
from ensemble_forecast.workflow import run_search, run_stack, working

TRIALS = ({"family": "naive", "params": {}}, {"family": "ridge", "params": {"context": 10}})


@pytest.mark.parametrize(("kind", "horizon"), [("direction", 1), ("quantiles", 3)])
def test_missing_steps_are_never_scored_and_break_nothing(tmp_path, kind, horizon):
    """A market with every tenth candle missing, kept missing; what is not known is left out of tests and trades."""
    frame = btc_usd_daily().iloc[:500]
    frame = frame[np.arange(len(frame)) % 10 != 3]
    settings = {"source": FRAME, "target": "close", "freq": "D", "gaps": "mask", "kind": kind, "horizon": horizon, "trials": TRIALS}
    study = open_study("masked", tmp_path, check(settings | {"budget": "10m", "backtest": True}, "test"), frame=frame, log=silent)
    run_search(study, workers=1)
    run_stack(study, Deadline.after(60), workers=1)
    verdict = run_evaluate(study)
    assert json.loads(json.dumps(verdict, allow_nan=False)) == verdict
    assert verdict["origins"] == (len(study.plan.test) if horizon > 1 else np.isfinite(study.panel.y[study.plan.test.step + 1]).sum())
    assert verdict["search"]["compared"] >= 2
    assert [row["cost_bp"] for row in verdict["backtest"]["table"]] == [0, 2, 5, 10, 20]
    assert (study.folder.path / "verdict.json").exists()
    page = to_page(findings(study))
    for piece in ("eliability slope", "Hit rate among the surest forecasts, on the test rows", "right where called"):
        assert (piece in page) == (kind == "direction"), piece


def test_the_outcome_of_a_trade_goes_from_the_search_to_the_verdict_the_report_and_the_forecast(tmp_path):
    """Three classes all the way, on a market whose next moves are hinted at."""
    rng = np.random.default_rng(1)
    hint = rng.normal(size=600)
    close = 100 * np.exp(0.01 * np.cumsum(np.concatenate([[0.0], hint[:-1]]) + 0.7 * rng.normal(size=600)))
    frame = pd.DataFrame({"close": close, "hint": hint}, index=pd.date_range("2024-01-01", periods=600, name="ds"))
    trials = (
        {"family": "naive", "params": {}},
        {"family": "xgboost", "params": {"rounds": 40, "depth": 3}},
        {"family": "extra_trees", "params": {"trees": 30, "balanced": True}},
        {"family": "hist_gradient_boosting", "params": {"rounds": 30, "leaves": 8}},
    )
    settings = {"source": FRAME, "target": "close", "freq": "D", "kind": "direction", "label": "barrier", "take_profit": 0.7, "stop_loss": 0.5}
    pipeline = check(settings | {"horizon": 3, "features": (), "trials": trials, "budget": "10m", "backtest": True}, "test")
    study = open_study("trade", tmp_path, pipeline, frame=frame, log=silent)
    run_search(study, workers=1)
    assert [line["state"] for line in study.folder.ledger()] == ["finished"] * 4, study.folder.ledger()
    with working(study, 1, "cpu") as pool:
        stacking.stack(study, pool, Deadline.never(), arms=False)
    verdict = run_evaluate(study)
    assert json.loads(json.dumps(verdict, allow_nan=False)) == verdict
    assert verdict["verdict"] == "evidence of skill"
    assert set(verdict["tests"]) == {"base_rates", "even_odds"}
    assert verdict["directions"]["hit_rate"] > 0.6
    assert verdict["probabilities"]["recalibration"]["slope"] > 0.3
    assert 0 < verdict["probabilities"]["abstaining"][0]["share"] < 1
    page = to_page(findings(study))
    for piece in ("Probability of take", "Reliability slope", "right where called"):
        assert piece in page
    model = load(study.folder.path / "ensemble")
    told = model.predict_proba(frame)
    assert list(told) == ["unique_id", "ds", "p_take", "p_stop", "p_timeout"]
    np.testing.assert_allclose(told[["p_take", "p_stop", "p_timeout"]].sum(axis=1), 1)
    labelled = model.predict(frame)
    likeliest = labelled[["p_take", "p_stop", "p_timeout"]].idxmax(axis=1).str.removeprefix("p_")
    assert (labelled["label"] == likeliest).all()
    assert (np.diff(told["p_timeout"]) < 0.1).all(), "the longer, the likelier a barrier is met"


def test_the_calibration_of_probabilities_has_seen_nothing_of_the_test_rows(tmp_path):
    """A step hinted at too loudly: the odds are bent; noise in the test rows changes no byte of how."""
    rng = np.random.default_rng(0)
    hint = rng.normal(size=700)
    close = 100 * np.exp(0.01 * np.cumsum(np.concatenate([[0.0], 0.5 * hint[:-1]]) + rng.normal(size=700)))
    frame = pd.DataFrame({"close": close, "hint": hint}, index=pd.date_range("2024-01-01", periods=700, name="ds"))
    bold = {"estimator": "sklearn.tree:DecisionTreeClassifier", "params": {"min_samples_leaf": 8}, "confidence": 1.0}
    settings = {"source": FRAME, "target": "close", "freq": "D", "kind": "direction", "horizon": 1, "features": (), "budget": "10m"}
    pipeline = check(settings | {"trials": ({"family": "scikit_learn", "params": bold},)}, "test")
    written, verdicts = [], []
    for name in ("real", "scrambled"):
        study = open_study(name, tmp_path, pipeline, frame=frame, log=silent)
        run_search(study, workers=1)
        with working(study, 1, "cpu") as pool:
            stacking.stack(study, pool, Deadline.never(), combiner="mean", arms=False)
        files = [study.folder.path / folder / f"calibration.{kind}" for folder in ("judged", "ensemble") for kind in ("json", "safetensors")]
        written.append([file.read_bytes() for file in files])
        verdicts.append(run_evaluate(study))
        frame = frame.copy()
        frame.iloc[int(study.plan.judged_S[0]) + 1 :] = 1 + rng.random((len(study.plan.test), 2))
    assert b"as_is" not in written[0][0], "the law must be able to fail"
    assert written[0] == written[1]
    slopes = [verdict["probabilities"]["recalibration"]["interval"] for verdict in verdicts]
    assert slopes[0][0] < 1 < slopes[0][1]
    assert slopes[0] != slopes[1], "the test rows were opened"


def test_a_member_that_saw_a_test_label_is_refused():
    _refuse_peeking({"members": [{"id": "ridge-0001", "fitted_until": [10, 7]}]}, np.array([10, 8]))
    with pytest.raises(BadInput, match=r"ridge-0001 of judged/ was fitted on test labels"):
        _refuse_peeking({"members": [{"id": "ridge-0001", "fitted_until": [10, 9]}]}, np.array([10, 8]))

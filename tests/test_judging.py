import json

import numpy as np
import pytest

from ensemble_forecast.data.samples import btc_usd_daily
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.judging import _refuse_peeking, run_evaluate
from ensemble_forecast.pipeline import check
from ensemble_forecast.study import FRAME, open_study, silent
from ensemble_forecast.workflow import run_search, run_stack

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


def test_a_member_that_saw_a_test_label_is_refused():
    _refuse_peeking({"members": [{"id": "ridge-0001", "fitted_until": [10, 7]}]}, np.array([10, 8]))
    with pytest.raises(BadInput, match=r"ridge-0001 of judged/ was fitted on test labels"):
        _refuse_peeking({"members": [{"id": "ridge-0001", "fitted_until": [10, 9]}]}, np.array([10, 8]))

"""The law of the whole engine: what lies after a window, or in the locked test rows, changes nothing that was decided before it."""

import numpy as np
import pytest

from ensemble_forecast import stacking
from ensemble_forecast.data.samples import btc_usd_daily
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.pipeline import check
from ensemble_forecast.study import FRAME, open_study, silent
from ensemble_forecast.workflow import run_search, working

TRIALS = [
    {"family": "theta", "params": {}},
    {"family": "ridge", "params": {"context": 20}},
    {"family": "ridge", "params": {"context": 12, "transform": "log"}},
    {"family": "xgboost", "params": {"rounds": 25, "depth": 3}},
    {"family": "extra_trees", "params": {"trees": 10}},
    {"family": "mlp", "params": {"steps": 30, "width": 16, "context": 12}},
    {"family": "bagged", "params": {"copies": 2, "member": {"family": "ridge", "params": {"context": 12}}}},
    {"family": "boosted", "params": {"stages": [{"family": "ridge", "params": {"context": 12}}, {"family": "xgboost", "params": {"rounds": 10}}]}},
]
ROWS = 420


def run(frame, folder):
    """Run the fixed trials and stack them, as a user's study would."""
    settings = {"source": FRAME, "target": "close", "horizon": 5, "season": 7, "transform": "auto", "test": 0.2, "windows": 3, "budget": "10m"}
    study = open_study("law", folder, check(settings | {"trials": tuple(TRIALS)}, "test"), frame=frame, log=silent)
    summary = run_search(study, workers=2)
    assert summary["ran"] == len(TRIALS), study.folder.ledger()
    with working(study, 2, "cpu") as pool:
        stacking.stack(study, pool, Deadline.never(), arms=False)
    return study


def noisy_after(frame, row):
    """Replace every value after a row by positive noise."""
    noise = np.random.default_rng(1).uniform(500, 90_000, size=(len(frame) - row - 1, frame.shape[1]))
    changed = frame.copy()
    changed.iloc[row + 1 :] = np.sort(noise, axis=1)[:, [1, 3, 0, 2, 4]]
    return changed


@pytest.fixture(scope="module")
def frame():
    return btc_usd_daily().iloc[:ROWS].astype(float)


@pytest.fixture(scope="module")
def study(frame, tmp_path_factory):
    return run(frame, tmp_path_factory.mktemp("real"))


def test_noise_after_a_window_leaves_earlier_out_of_fold_forecasts_byte_identical(study, frame, tmp_path):
    window = 1
    last = int(study.plan.folds[window].until_S[0])
    changed = run(noisy_after(frame, last), tmp_path)
    for mine, theirs in zip(study.folder.candidates(), changed.folder.candidates(), strict=True):
        upto = mine.origins_N3[:, 2] <= window
        assert mine.forecasts_NHQ[upto].tobytes() == theirs.forecasts_NHQ[upto].tobytes(), mine.id
        assert mine.forecasts_NHQ[~upto].tobytes() != theirs.forecasts_NHQ[~upto].tobytes(), "the law must be able to fail"


def test_noise_in_the_test_rows_leaves_candidates_weights_and_judged_members_byte_identical(study, frame, tmp_path):
    first_test_origin = int(study.plan.judged_S[0])
    changed = run(noisy_after(frame, first_test_origin), tmp_path)
    mine, theirs = study.folder.path, changed.folder.path
    names = [path.relative_to(mine) for part in ("candidates", "judged") for path in sorted((mine / part).rglob("*")) if path.is_file()]
    assert sum(name.parts[0] == "judged" for name in names) >= 5
    for name in names:
        if name.name != "report.json":  # it tells seconds and start times
            assert (mine / name).read_bytes() == (theirs / name).read_bytes(), name
    assert (mine / "ensemble" / "manifest.json").read_bytes() != (theirs / "ensemble" / "manifest.json").read_bytes(), "the law must be able to fail"

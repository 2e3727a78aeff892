"""A fit that keeps its run is worth something early: killed without warning, it leaves an ensemble that loads and forecasts."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import ensemble_forecast as ef
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.search.driver import search
from ensemble_forecast.search.pool import Pool
from ensemble_forecast.search.spaces import parse_space
from ensemble_forecast.store import RunFolder

HORIZON, SEASON = 6, 12
PATIENCE_S = 60  # until the first ensemble must lie there: on an idle machine it takes a tenth of this
PROGRAM = """
import sys
import pandas as pd
import ensemble_forecast as ef

frame = pd.read_parquet(sys.argv[1])
ef.EnsembleForecaster(6, budget="120s", runs=sys.argv[2], name="killed", families=["theta", "ridge"], workers=2).fit(frame)
"""


def climbing_seasons(n_series=40, length=72):
    """Monthly series that grow: the seasonal naive is always a year behind."""
    rng = np.random.default_rng(12)
    step = np.arange(length)
    parts = []
    for i in range(n_series):
        y = 100 + 1.5 * step + 10 * np.sin(2 * np.pi * (step + i) / SEASON) + rng.normal(0, 2, length)
        parts.append(pd.DataFrame({"unique_id": f"S{i:02}", "ds": pd.date_range("2015-01-01", periods=length, freq="MS"), "y": y}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def remains(tmp_path_factory):
    """Start a fit of two minutes, kill it and its workers as soon as an ensemble lies there; give the folder, history and truth."""
    home = tmp_path_factory.mktemp("anytime")
    frame = climbing_seasons()
    from_end = frame.groupby("unique_id").cumcount(ascending=False)
    history, truth = frame[from_end >= HORIZON].reset_index(drop=True), frame[from_end < HORIZON].reset_index(drop=True)
    history.to_parquet(home / "history.parquet")
    folder = home / "runs" / "killed" / "ensemble"
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(home / "history.parquet"), str(home / "runs")], start_new_session=True)
    patience = time.monotonic() + PATIENCE_S
    while not folder.exists() and process.poll() is None and time.monotonic() < patience:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the fit ended before it could be killed"
    assert folder.exists(), f"no ensemble within {PATIENCE_S} s"
    return folder, history, truth


def test_a_fit_that_is_killed_leaves_an_ensemble_that_beats_the_seasonal_naive(remains):
    folder, history, truth = remains
    forecast = ef.load(folder).predict(history)
    both = truth.merge(forecast, on=["unique_id", "ds"], validate="1:1")
    assert len(both) == len(truth)
    ours = (both["y"] - both["0.5"]).abs().mean()
    last_year = history.groupby("unique_id")["y"].apply(lambda y: y.to_numpy()[-SEASON:][:HORIZON])
    theirs = np.abs(both["y"].to_numpy() - np.concatenate(last_year.to_list())).mean()
    assert ours < 0.5 * theirs


def test_a_second_fit_under_the_name_of_a_killed_one_starts_afresh(remains):
    folder, history, _ = remains
    runs = folder.parent.parent
    model = ef.EnsembleForecaster(HORIZON, budget="8s", runs=runs, name="killed", families=["theta", "ridge"], workers=1).fit(history)
    assert np.isfinite(model.predict()["0.5"]).all()
    assert len([path for path in runs.iterdir() if path.name.startswith("killed.")]) == 1  # the old run was kept aside


def test_a_search_goes_on_where_one_before_it_left_the_workers_starting(tmp_path):
    """A slow start is cut off by the first search's deadline; the second, on the same workers, must not take them for having nothing to do."""
    panel, task = Panel.of([np.arange(60.0) + i for i in range(4)]), Task(horizon=2)
    run_folder = RunFolder(tmp_path / "slow")
    space = parse_space({"naive": {}, "drift": {}}, "slow start")
    with run_folder.lock(), Pool(2, run_folder, panel, task, {}, device="cpu") as pool:
        first = search(run_folder, panel, task, {}, space, deadline=Deadline.after(0.05), pool=pool)
        assert first.finished == 0
        second = search(run_folder, panel, task, {}, space, deadline=Deadline.after(60), pool=pool)
    assert second.finished == 2

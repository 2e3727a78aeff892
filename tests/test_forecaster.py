import pickle
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import ensemble_forecast as ef

LEVELS = [f"0.{digit}" for digit in range(1, 10)]


def weekly(n_series=6, n=70, first="2022-01-02"):
    rng = np.random.default_rng(8)
    parts = []
    for i in range(n_series):
        y = 50 + 10 * i + np.cumsum(rng.normal(size=n - i))
        parts.append(pd.DataFrame({"unique_id": f"S{i}", "ds": pd.date_range(first, periods=n - i, freq="W"), "y": y, "x": rng.normal(size=n - i)}))
    return pd.concat(parts, ignore_index=True)


def daily(n=150):
    rng = np.random.default_rng(9)
    index = pd.date_range("2024-01-01", periods=n, freq="D", name="date")
    return pd.DataFrame({"close": 100 * np.exp(np.cumsum(rng.normal(0, 0.02, n)))}, index=index)


@pytest.fixture(scope="module")
def panel_model():
    families = ["naive", "ridge", "theta"]
    model = ef.EnsembleForecaster(horizon=4, freq="W", budget="9s", space="smoke", families=families, quantiles=[0.1, 0.5, 0.9])
    return model.fit(weekly())


@pytest.fixture(scope="module")
def direction_model():
    return ef.EnsembleForecaster(horizon=1, kind="direction", budget="8s", space="smoke", families=["naive", "ridge"]).fit(daily())


def test_parameters_survive_a_clone_and_the_clone_is_not_fitted(panel_model):
    other = clone(panel_model)
    assert other.get_params() == panel_model.get_params()
    with pytest.raises(NotFittedError):
        other.predict()


def test_set_params_changes_what_get_params_tells():
    model = ef.EnsembleForecaster(horizon=3).set_params(horizon=5, budget="1m")
    assert (model.get_params()["horizon"], model.get_params()["budget"]) == (5, "1m")


def test_every_series_gets_the_next_steps_of_its_own_calendar(panel_model):
    frame = weekly()
    forecast = panel_model.predict()
    assert list(forecast.columns) == ["unique_id", "ds", "mean", "0.1", "0.5", "0.9"]
    for name, block in forecast.groupby("unique_id"):
        last = frame.loc[frame["unique_id"] == name, "ds"].max()
        assert list(block["ds"]) == list(pd.date_range(last, periods=5, freq="W")[1:])
    assert (np.diff(forecast[["0.1", "0.5", "0.9"]].to_numpy(), axis=1) >= 0).all()


def test_series_never_seen_are_forecast_like_any_other(panel_model):
    frame = weekly(2).replace({"unique_id": {"S0": "new", "S1": "newer"}})
    forecast = panel_model.predict(frame)
    assert set(forecast["unique_id"]) == {"new", "newer"}
    assert np.isfinite(forecast["mean"]).all()


def test_a_forecast_does_not_depend_on_the_other_series_in_the_frame(panel_model):
    alone = panel_model.predict(weekly(1))
    among = panel_model.predict(weekly(6))
    np.testing.assert_allclose(alone["0.5"], among.loc[among["unique_id"] == "S0", "0.5"], rtol=1e-5)


def test_all_origins_give_a_block_each_that_agrees_with_cutting_the_frame(panel_model):
    frame = weekly(1)
    every = panel_model.predict(frame, origins="all")
    origin = frame["ds"].iloc[-8]
    then = panel_model.predict(frame[frame["ds"] <= origin])
    block = every[every["origin"] == origin]
    assert list(block["ds"]) == list(then["ds"])
    np.testing.assert_allclose(block["0.5"], then["0.5"], rtol=1e-5)


def test_the_probability_of_up_lies_in_the_unit_interval(panel_model):
    chances = panel_model.predict_proba()
    assert list(chances.columns) == ["unique_id", "ds", "p_up"]
    assert chances["p_up"].between(0, 1).all()


def test_a_missing_covariate_is_named(panel_model):
    with pytest.raises(ef.BadInput, match="x"):
        panel_model.predict(weekly().drop(columns="x"))


def test_superfluous_columns_and_another_order_change_nothing(panel_model):
    frame = weekly()
    mixed = frame.assign(extra=1.0)[["x", "extra", "y", "ds", "unique_id"]]
    pd.testing.assert_frame_equal(panel_model.predict(frame), panel_model.predict(mixed))


def test_saving_and_loading_keeps_every_bit(panel_model, tmp_path):
    panel_model.save(tmp_path / "model")
    loaded = ef.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.predict(weekly()), panel_model.predict(weekly()), check_exact=True)
    with pytest.raises(ef.BadInput, match="predict\\(frame\\)"):
        loaded.predict()


def test_a_fitted_model_survives_pickle_without_its_run(panel_model):
    again = pickle.loads(pickle.dumps(panel_model))
    pd.testing.assert_frame_equal(again.predict(), panel_model.predict(), check_exact=True)


def test_the_leaderboard_holds_every_candidate_with_its_score(panel_model):
    board = panel_model.leaderboard_
    assert {"id", "family", "state", "value", "reason"} <= set(board.columns)
    assert {"naive", "ridge", "theta"} <= set(board.loc[board["state"] == "finished", "family"])


def test_direction_gives_probabilities_and_a_label(direction_model):
    forecast = direction_model.predict()
    assert list(forecast.columns) == ["unique_id", "ds", "p_up", "label"]
    assert forecast["p_up"].between(0, 1).all()
    assert set(forecast["label"]) <= {"up", "down"}


def test_a_temporary_run_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    ef.EnsembleForecaster(horizon=2, budget="7s", space="smoke", families=["naive", "drift"]).fit(daily(60))
    assert list(tmp_path.iterdir()) == []


def test_fit_starts_afresh_and_a_kept_run_can_be_loaded(tmp_path):
    model = ef.EnsembleForecaster(horizon=2, budget="8s", space="smoke", families=["naive", "drift"], runs=tmp_path, name="kept")
    assert model.fit(daily(60)) is model
    before = model.predict()
    assert (tmp_path / "kept" / "ensemble").is_dir()
    model.set_params(horizon=3).fit(daily(80))
    assert len(model.predict()) == 3
    assert len(before) == 2
    loaded = ef.load(tmp_path / "kept" / "ensemble")
    pd.testing.assert_frame_equal(loaded.predict(daily(80)), model.predict(), check_exact=True)
    assert len([path for path in Path(tmp_path).iterdir() if path.name.startswith("kept")]) == 2, "the first run was renamed, not lost"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"horizon": 0}, "horizon"),
        ({"budget": "soon"}, "budget"),
        ({"kind": "up"}, "kind"),
        ({"quantiles": [0.9, 0.1]}, "quantiles"),
        ({"metric": "slq"}, "sql"),
    ],
)
def test_impossible_parameters_are_refused_by_name(wrong, said):
    with pytest.raises(ef.BadInput, match=said):
        ef.EnsembleForecaster(**({"horizon": 2, "budget": "5s"} | wrong)).fit(daily(60))


@pytest.mark.parametrize("n", [23, 30, 42, 49, 51])
def test_short_series_are_served_or_refused_with_the_length_they_need(n):
    model = ef.EnsembleForecaster(horizon=7, season_length=1, budget="15s", space="smoke", families=["naive", "ridge"])
    forecast = model.fit(daily(n)).predict()
    assert np.isfinite(forecast["0.5"]).all()


def test_a_series_that_is_too_short_is_told_how_much_it_needs():
    with pytest.raises(ef.BadInput, match="needs about"):
        ef.EnsembleForecaster(horizon=7, budget="5s", space="smoke").fit(daily(15))


def test_the_season_comes_from_the_calendar_unless_it_is_named():
    families = {"families": ["naive"], "space": "smoke", "budget": "10s"}
    assert ef.EnsembleForecaster(horizon=2, **families).fit(daily(60)).ensemble_.task.season_length == 7
    assert ef.EnsembleForecaster(horizon=2, season_length=3, **families).fit(daily(60)).ensemble_.task.season_length == 3


def test_known_covariates_have_to_reach_to_the_end_of_the_horizon():
    frame = daily(80).assign(promo=np.arange(80) % 3 == 0).astype(float)
    model = ef.EnsembleForecaster(horizon=3, known="promo", budget="12s", space="smoke", families=["naive", "xgboost"]).fit(frame)
    with pytest.raises(ef.BadInput, match=r"promo.*append 3 rows"):
        model.predict(frame)
    ahead = pd.DataFrame({"close": np.nan, "promo": 1.0}, index=pd.date_range(frame.index[-1], periods=4, freq="D")[1:])
    forecast = model.predict(pd.concat([frame, ahead]))
    assert list(forecast["ds"]) == list(ahead.index)

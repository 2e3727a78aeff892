import json

import numpy as np
import pytest

from ensemble_forecast.evaluate.verdict import NONE, SKILL, WEAK, Losses, judge, wilson

GRADES = {"evidence of skill", "weak evidence", "no evidence of skill"}


def one_series(n, gains, seed=0, noise=0.3):
    """Losses on one series: each baseline's loss lies above the ensemble's by a gain, with noise of its own."""
    rng = np.random.default_rng(seed)
    ensemble = rng.gamma(4, 0.25, n)
    baselines = {name: ensemble + gain + noise * rng.normal(size=n) for name, gain in gains.items()}
    return Losses(ensemble, baselines, np.zeros(n, dtype=int), np.arange(n))


def grade(losses, horizon=1, **facts):
    return judge(losses, horizon, trials=57, openings=1, **facts)


def test_clear_gains_over_both_baselines_are_evidence():
    assert grade(one_series(200, {"naive": 0.2, "seasonal_naive": 0.3}))["verdict"] == SKILL


def test_a_gain_over_one_baseline_only_is_no_evidence():
    assert grade(one_series(200, {"naive": 0.5, "seasonal_naive": -0.2}))["verdict"] == NONE


def test_a_clear_gain_over_the_easy_baseline_does_not_make_up_for_luck_against_the_hard_one():
    answer = grade(one_series(200, {"naive": 0.5, "seasonal_naive": 0.02}))
    assert answer["tests"]["seasonal_naive"]["mean_difference"] < 0
    assert answer["tests"]["seasonal_naive"]["p_value"] > 0.1
    assert answer["verdict"] == NONE


def test_a_worse_ensemble_is_no_evidence_however_long_the_test():
    assert grade(one_series(5000, {"naive": -0.1, "seasonal_naive": -0.1}))["verdict"] == NONE


def test_shuffled_labels_give_no_evidence():
    """Forecasts of a coin: the ensemble's probabilities say nothing, so the base rate wins."""
    grades = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        up, said, rate = rng.random(240) < 0.53, rng.uniform(0.35, 0.65, 240), 0.53
        said = said[rng.permutation(240)]
        losses = Losses(
            -np.log(np.where(up, said, 1 - said)), {"base_rate": -np.log(np.where(up, rate, 1 - rate))}, np.zeros(240, int), np.arange(240)
        )
        grades.append(grade(losses)["verdict"])
    assert grades.count(NONE) >= 190


def test_equal_forecasters_are_called_skilled_less_often_than_one_time_in_twenty():
    grades = [grade(one_series(60, {"naive": 0.0, "seasonal_naive": 0.0}, seed))["verdict"] for seed in range(400)]
    assert grades.count(SKILL) <= 20
    assert grades.count(WEAK) <= 40


def panel_losses(rng, n_series, n_times, shared, gain=0.0):
    """Two forecasters on a panel whose differences share a shock at each time."""
    series, time = np.repeat(np.arange(n_series), n_times), np.tile(np.arange(n_times), n_series)
    noise = np.sqrt(1 - shared) * rng.normal(size=len(series)) + np.sqrt(shared) * rng.normal(size=n_times)[time]
    return Losses(np.full(len(series), 5.0), {"naive": 5.0 + gain + noise}, series, time)


def test_many_origins_of_a_series_are_not_many_observations():
    """Thirty series with five origins each: the gain of one series is one observation."""
    rng = np.random.default_rng(4)
    losses = panel_losses(rng, 30, 5, 0.0)
    losses.baselines["naive"][:] = 5.0 + np.repeat(rng.normal(0.05, 1.0, 30), 5) + 0.01 * rng.normal(size=150)
    answer = grade(losses, horizon=6)
    assert (answer["series"], answer["independent_bets"], answer["origins"]) == (30, 5, 150)
    assert "30 series at 5 times" in answer["sentence"]
    assert answer["verdict"] == NONE


@pytest.mark.parametrize("shared", [0.0, 0.5, 0.9])
def test_a_shock_common_to_all_series_is_not_taken_for_skill(shared):
    grades = [grade(panel_losses(np.random.default_rng(seed), 30, 8, shared))["verdict"] for seed in range(300)]
    assert grades.count(SKILL) <= 27, "nominal 5 %, and three standard errors"


def test_a_clear_gain_on_a_panel_is_evidence():
    grades = [grade(panel_losses(np.random.default_rng(seed), 40, 10, 0.0, gain=0.4))["verdict"] for seed in range(40)]
    assert grades.count(SKILL) >= 38


def test_a_single_time_is_weak_evidence_at_best():
    assert grade(panel_losses(np.random.default_rng(0), 60, 1, 0.0, gain=2.0))["verdict"] == WEAK


def test_a_few_series_at_one_time_are_one_observation():
    losses = one_series(84, {"naive": 0.2})
    thrice = Losses(np.tile(losses.ensemble, 3), {"naive": np.tile(losses.baselines["naive"], 3)}, np.repeat([0, 1, 2], 84), np.tile(losses.time, 3))
    alone, together = grade(losses, 7), grade(thrice, 7)
    assert together["tests"]["naive"] == pytest.approx(alone["tests"]["naive"])
    assert together["independent_bets"] == alone["independent_bets"] == 12


def test_origins_that_somebody_does_not_serve_are_left_out_for_all():
    losses = one_series(100, {"naive": 0.2})
    losses.baselines["naive"][:30] = np.nan
    losses.ensemble[90:] = np.nan
    assert grade(losses)["origins"] == 60


@pytest.mark.parametrize("n", [0, 3])
def test_hardly_any_test_data_is_no_evidence(n):
    assert grade(one_series(n, {"naive": 1.0}))["verdict"] == NONE


def test_the_sentence_says_what_was_found_and_on_how_much():
    answer = judge(one_series(238, {"naive": 0.02, "seasonal_naive": 0.3}), 7, trials=57, openings=2, hit_rate=0.53, coverage=0.78)
    for piece in ("34 independent bets", "% smaller than that of", "p = 0.", "57 trials", "53% of the directions", "holds 78%", "opened 2 times"):
        assert piece in answer["sentence"], piece
    assert answer["sentence"].lower().startswith(answer["verdict"])
    assert answer["verdict"] in GRADES
    assert answer["openings"] == 2
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer


def test_skill_is_the_share_of_the_baseline_loss_that_is_saved():
    losses = Losses(np.array([1.0, 2, 3, 4]), {"naive": np.array([2.0, 2, 4, 12])}, np.zeros(4, int), np.arange(4))
    assert grade(losses)["tests"]["naive"]["skill_percent"] == pytest.approx(50)


def test_a_chance_between_one_in_twenty_and_one_in_ten_is_weak_evidence():
    grades = {}
    for seed in range(60):
        answer = grade(one_series(60, {"naive": 0.05}, seed))
        grades[answer["tests"]["naive"]["p_value"]] = answer["verdict"]
    assert {0.05 <= p < 0.10 for p, verdict in grades.items() if verdict == WEAK} == {True}
    assert {p < 0.05 for p, verdict in grades.items() if verdict == SKILL} == {True}


def test_the_interval_of_a_rate_is_that_of_wilson():
    share, n, z = 0.53, 34, 1.959963984540054
    centre, half = (share + z**2 / (2 * n)) / (1 + z**2 / n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert wilson(share, n) == pytest.approx([centre - half, centre + half])
    assert wilson(0.5, 0) == [0.0, 1.0]

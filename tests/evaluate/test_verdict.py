import json

import numpy as np
import pytest

from ensemble_forecast.data.task import Task
from ensemble_forecast.evaluate.sample import Sample
from ensemble_forecast.evaluate.verdict import NONE, SKILL, WEAK, Opened, judge

LEVELS = np.array([-1.28, -0.84, -0.52, -0.25, 0, 0.25, 0.52, 0.84, 1.28])
TRIALS = {"trials": 60, "finished": 57, "pruned": 2, "failed": 1, "stale": 0, "compared": 57, "best_naive": "naive", "reason": None, "spa": 0.5}
SILENT = {"trials": 60, "finished": 60, "reason": "too few times"}
CONTROL = {"p_values": [0.5], "wins": 0, "passed": True, "reason": None}


def spread(centre_NH):
    return centre_NH[..., None] + LEVELS


def opened(seed=0, n=400, horizon=1, hint=0.0, rival_hint=0.0, n_series=1):
    """Quantile forecasts of a walk that see a share of each coming change, beside a last value and a rival that may see some too."""
    rng = np.random.default_rng(seed)
    series, time = np.repeat(np.arange(n_series), n), np.tile(np.arange(n), n_series)
    step_ST = rng.normal(size=(n_series, n + horizon))
    level_ST = 50 + np.cumsum(step_ST, axis=1)
    truth_NH = np.lib.stride_tricks.sliding_window_view(level_ST[:, 1:], horizon, axis=1)[:, :n].reshape(-1, horizon)
    last_N = level_ST[:, :n].ravel()
    change_NH = truth_NH - last_N[:, None]
    noise = rng.normal(size=truth_NH.shape)
    flat_NH = np.repeat(last_N[:, None], horizon, axis=1)
    return Opened(
        task=Task(horizon=horizon),
        truth_NH=truth_NH.copy(),
        ensemble_NHQ=spread(flat_NH + hint * change_NH + 0.05 * noise),
        rivals={"naive": spread(flat_NH), "mean_change": spread(flat_NH + 0.05 + rival_hint * change_NH), "last_sign": 3 + spread(flat_NH)},
        last_N=last_N,
        scale_N=np.ones(len(last_N)),
        sample=Sample(series, time, horizon),
    )


def direction(seed=0, n=400, lean=0.0):
    rng = np.random.default_rng(seed)
    up = (rng.random((n, 1)) < 0.53).astype(float)
    said = np.clip(0.53 + lean * (up - 0.53) + 0.02 * rng.normal(size=(n, 1)), 0.05, 0.95)

    def chances(p):
        return np.stack([1 - p, p], axis=-1)

    rivals = {"base_rate": chances(np.full((n, 1), 0.52)), "coin": chances(np.full((n, 1), 0.5))}
    return Opened(Task(horizon=1, kind="direction"), up, chances(said), rivals, np.ones(n), np.ones(n), Sample(np.zeros(n, int), np.arange(n), 1))


def leaning(seed, bold, n=800):
    """Probabilities whose log-odds are the true ones times a factor."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=(n, 1))
    up = (rng.random((n, 1)) < 1 / (1 + np.exp(-odds))).astype(float)
    said = 1 / (1 + np.exp(-bold * odds))
    forecast = np.stack([1 - said, said], axis=-1)
    rivals = {"coin": np.full(forecast.shape, 0.5)}
    sample, thresholds = Sample(np.zeros(n, int), np.arange(n), 1), np.array([0.5, 0.6, 0.7, 0.8])
    return Opened(Task(horizon=1, kind="direction"), up, forecast, rivals, np.ones(n), np.ones(n), sample, thresholds)


def judged(case, trials=TRIALS, control=CONTROL, openings=1):
    answer = judge(case, trials, control, ["2026-01-01T00:00:00.000+00:00"] * openings)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    return answer


@pytest.mark.parametrize("horizon", [1, 5])
def test_clear_skill_is_evidence(horizon):
    answer = judged(opened(hint=0.3, horizon=horizon))
    assert answer["verdict"] == SKILL
    assert answer["p_values"]["diebold_mariano"] < 0.01
    assert answer["p_values"]["pesaran_timmermann"] < 0.01


def test_p_is_the_smallest_of_three_times_three():
    answer = judged(opened(hint=0.05, seed=1))
    assert answer["p_value"] == pytest.approx(min(1.0, 3 * min(answer["p_values"].values())))
    alone = judged(opened(hint=0.05, seed=1), SILENT)
    assert set(alone["p_values"]) == {"diebold_mariano", "pesaran_timmermann"}, "a test that could not be made is not counted"
    assert alone["p_value"] == pytest.approx(min(1.0, 2 * min(alone["p_values"].values())))


def test_without_skill_evidence_is_claimed_less_often_than_one_time_in_a_hundred_and_weak_in_twenty():
    rng = np.random.default_rng(0)
    grades = [judged(opened(seed, n=120), TRIALS | {"spa": rng.random()})["verdict"] for seed in range(500)]
    assert grades.count(SKILL) <= 12, "nominal 1 %, and three standard errors"
    assert grades.count(SKILL) + grades.count(WEAK) <= 40
    assert set(grades) > {NONE}


def test_without_skill_in_direction_nothing_is_claimed_either():
    grades = [judged(direction(seed, n=240), SILENT)["verdict"] for seed in range(300)]
    assert grades.count(SKILL) <= 9
    assert grades.count(NONE) >= 276
    assert judged(direction(lean=0.2))["verdict"] == SKILL


def test_the_best_naive_is_the_hardest_one():
    answer = judged(opened(hint=0.1, rival_hint=0.3))
    assert answer["best_naive"] == "mean_change"
    assert answer["tests"]["naive"]["sql"]["p_value"] < 0.01
    assert answer["p_values"]["diebold_mariano"] > 0.9
    assert answer["verdict"] == NONE


def test_a_find_of_the_search_does_not_make_up_for_a_larger_loss():
    found = TRIALS | {"spa": 0.001}
    cases = [opened(seed, n=200) for seed in range(20)]
    for case in cases:
        answer = judged(case, found)
        worse = answer["tests"][answer["best_naive"]]["sql"]["mean_difference"] >= 0
        assert answer["p_values"]["spa"] == (1.0 if worse else 0.001)
        assert answer["verdict"] == (judged(case, TRIALS | {"spa": 1.0})["verdict"] if worse else SKILL)
    assert judged(opened(hint=0.3), found)["verdict"] == SKILL


def test_directions_called_right_are_skill_even_where_the_spread_is_poor():
    case = opened(hint=0.2)
    case.ensemble_NHQ[:] = case.ensemble_NHQ[..., 4:5] + 8 * LEVELS
    answer = judged(case)
    assert answer["p_values"]["diebold_mariano"] > 0.99
    assert answer["verdict"] == SKILL
    assert "% larger than that of the best naive" in answer["sentence"]


def test_a_mean_change_that_lies_beyond_every_call_hides_no_skill():
    """The best naive has found a drift by chance; the ensemble leans less far to either side, and rightly."""
    case = opened(hint=0.2)
    case.ensemble_NHQ[:] = spread(case.last_N[:, None] + 0.02 * np.sign(case.truth_NH - case.last_N[:, None]) * (np.arange(400)[:, None] % 7 > 2))
    case.rivals["mean_change"][:] = spread(case.last_N[:, None] + 0.03)
    del case.rivals["naive"]
    answer = judged(case)
    assert answer["best_naive"] == "mean_change"
    assert answer["p_values"]["pesaran_timmermann"] < 0.001


def test_a_season_that_the_naive_knows_is_no_direction_called():
    """Both know the season, the ensemble adds noise: nine of ten signs of change are right, and p is not small."""
    rng = np.random.default_rng(3)
    season = 10 * np.sin(np.arange(500) * 2 * np.pi / 7)
    values = season + rng.normal(size=500)
    truth, last = values[1:, None], values[:-1]
    rivals = {"naive": spread(last[:, None]), "seasonal_naive": spread(season[1:, None])}
    said = spread(season[1:, None] + 0.1 * rng.normal(size=truth.shape))
    case = Opened(Task(horizon=1, season_length=7), truth, said, rivals, last, np.ones(499), Sample(np.zeros(499, int), np.arange(499), 1))
    answer = judged(case)
    assert answer["best_naive"] == "seasonal_naive"
    assert answer["directions"]["hit_rate"] > 0.85
    assert answer["p_values"]["pesaran_timmermann"] > 0.05
    assert answer["verdict"] == NONE


def test_a_failed_control_leaves_no_evidence():
    answer = judged(opened(hint=0.3), control=CONTROL | {"wins": 4, "passed": False})
    assert answer["verdict"] == NONE
    assert "shuffled changes" in answer["sentence"]


def test_what_trading_earned_is_told_and_decides_nothing():
    rows = [{"cost_bp": cost, "forecast": {"net_return": 0.5 - cost / 10}, "buy_and_hold": {"net_return": 0.2}} for cost in (0.0, 10.0)]
    answer = judge(opened(), TRIALS, CONTROL, ["now"], {"table": rows})
    assert "traded, it earns +50% before costs and -50% at 10 bp a trade (buy-and-hold +20%)" in answer["sentence"]
    assert answer["p_value"] == judged(opened())["p_value"]


def test_a_panel_has_its_series_for_observations_and_a_single_time_is_weak_at_best():
    answer = judged(opened(n=6, n_series=40, hint=0.3), SILENT)
    assert (answer["series"], answer["independent_bets"], answer["origins"]) == (40, 6, 240)
    assert "40 series at 6 times" in answer["sentence"]
    assert answer["verdict"] == SKILL
    assert judged(opened(n=1, n_series=60, hint=0.5), SILENT)["verdict"] == WEAK


def test_every_loss_is_compared_with_every_rival():
    tests = judged(opened(hint=0.2))["tests"]
    assert set(tests) == {"naive", "mean_change", "last_sign"}
    assert all(set(each) == {"sql", "absolute_error", "squared_error"} for each in tests.values())
    assert set(judged(direction())["tests"]["coin"]) == {"log_loss", "brier", "misses"}


def test_skill_is_the_share_of_the_rival_s_loss_that_is_saved():
    case = opened(hint=0.5, n=100)
    squared = judged(case)["tests"]["naive"]["squared_error"]
    own, rival = ((case.truth_NH - each[..., 4]) ** 2 for each in (case.ensemble_NHQ, case.rivals["naive"]))
    assert squared["skill_percent"] == pytest.approx(100 * (1 - own.mean() / rival.mean()))


def test_the_hit_rate_counts_signs_of_change_that_were_called():
    case = opened(n=200, hint=0.1)
    case.ensemble_NHQ[:50] = spread(np.repeat(case.last_N[:50, None], 1, axis=1))
    called, rose = case.ensemble_NHQ[50:, 0, 4] > case.last_N[50:], case.truth_NH[50:, 0] > case.last_N[50:]
    answer = judged(case)
    found = answer["directions"]
    assert found["called"] == 0.75
    assert "of the 75% of the directions that it calls" in answer["sentence"]
    assert found["hit_rate"] == pytest.approx((called == rose).mean())
    assert found["bets"] == 150
    assert found["interval"][0] < found["hit_rate"] < found["interval"][1]


def test_origins_that_somebody_does_not_serve_are_left_out_for_all():
    case = opened(n=100, hint=0.2)
    case.rivals["naive"][:30] = np.nan
    case.ensemble_NHQ[90:] = np.nan
    assert judged(case)["origins"] == 60


@pytest.mark.parametrize(
    ("bold", "words"), [(3.0, "excludes 1: they are too bold"), (0.3, "excludes 1: they are too timid"), (1.0, "does not exclude 1")]
)
def test_the_sentence_says_whether_probabilities_can_be_taken_at_their_word(bold, words):
    answer = judged(leaning(0, bold))
    found = answer["probabilities"]["recalibration"]
    assert found["interval"][0] < 1 / bold < found["interval"][1]
    assert words in answer["sentence"]
    assert [row["promised"] for row in answer["probabilities"]["abstaining"]] == [0.6, 0.7, 0.8, 0.9]
    assert answer["probabilities"]["surest"][0]["hit_rate"] > answer["probabilities"]["surest"][-1]["hit_rate"] + 0.1


def test_a_forecast_that_is_always_the_same_has_no_slope_and_the_sentence_says_why():
    answer = judged(leaning(0, 0.0))
    assert answer["probabilities"]["recalibration"]["slope"] is None
    assert "cannot be told: all probabilities are the same" in answer["sentence"]
    assert answer["probabilities"]["surest"] == [], "an even chance calls nothing"
    assert "probabilities" not in judged(opened()), "quantiles have coverage in its place"


@pytest.mark.parametrize("n", [0, 3])
def test_hardly_any_test_data_is_no_evidence(n):
    case = opened(n=3, hint=0.9)
    case.truth_NH[n:] = np.nan
    answer = judged(case, SILENT)
    assert answer["verdict"] == NONE
    assert answer["origins"] == n


def test_the_sentence_says_what_was_found_and_on_how_much():
    answer = judged(opened(n=238, horizon=7, hint=0.02), openings=2)
    pieces = ("34 independent bets", "% smaller than that of the best naive", "p = 0.", "it is right in", "57 finished trials", "60 trials")
    for piece in (*pieces, "3 of them pruned or failed", "80% interval holds", "opened 2 times", "could hardly have shown"):
        assert piece in answer["sentence"], (piece, answer["sentence"])
    assert answer["sentence"].lower().startswith(answer["verdict"])
    assert (answer["openings"], len(answer["opened_at"])) == (2, 2)

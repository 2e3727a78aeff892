"""The depth study: what is compared, and what is said of it."""

import json

import numpy as np
import pytest
from commands import typed

from ensemble_forecast import depth
from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.depth import SAME_STEPS, SAME_TIME, Data
from ensemble_forecast.errors import BadInput

N = 300


def data():
    panel = Panel.of([np.random.default_rng(0).normal(size=400).cumsum()])
    return Data(panel, np.array([90]), Origins.between(np.array([99]), np.array([398])), Task(horizon=1, kind="direction"))


def rows(gains, seed_spread=0.0):
    """Rows of three depths with these mean gains over 0.7 nats, under both conditions."""
    noise_N = np.random.default_rng(1).normal(size=N) * 0.02
    losses = [(layers, 0.7 - gain + (place and noise_N)) for place, (layers, gain) in enumerate(zip((8, 75, 800), gains, strict=True))]
    return [
        {"condition": condition, "layers": layers, "loss": float(np.mean(loss)), "loss_N": loss + np.zeros(N), "by_seed": [-seed_spread, seed_spread]}
        for condition in (SAME_TIME, SAME_STEPS)
        for layers, loss in losses
    ]


BASELINE = {"loss_N": np.full(N, 0.7), "by_seed": []}


def test_depth_pays_where_it_beats_the_shallow_net_and_the_baseline():
    said = depth._sentence(rows((0.0, 0.1, 0.05)), BASELINE, data())
    assert said.startswith("Over 300 independent bets: in the same time 75 layers beat 8 (the best deeper net, 75 layers, gains +0.")


def test_a_deep_net_that_beats_a_bad_shallow_one_but_not_the_baseline_does_not_pay():
    assert "75 layers beat 8, but not the baseline (-0." in depth._sentence(rows((-0.2, -0.05, -0.1)), BASELINE, data())


@pytest.mark.parametrize("given", [rows((0.0, 0.0, 0.0)), rows((0.0, 0.1, 0.0), seed_spread=0.3)])
def test_what_lies_within_the_spread_of_seeds_and_origins_did_not_pay(given):
    assert "no depth beat 8 layers" in depth._sentence(given, BASELINE, data())


def test_both_conditions_share_the_budget_and_the_steps_are_those_of_all_depths():
    nets = {layers: (depth.net_of(layers, 64), layers * 1e-3) for layers in (8, 75, 800)}
    jobs = list(depth._jobs(nets, 2, 600.0))
    assert sum(share_s for condition, *_, share_s in jobs if condition == SAME_TIME) == pytest.approx(600)
    assert sum(share_s for condition, *_, share_s in jobs if condition == SAME_STEPS) == pytest.approx(600, rel=0.01)
    assert {learner.steps for condition, learner, *_ in jobs if condition == SAME_STEPS} == {339}
    assert {learner.n_layers: learner.steps for condition, learner, *_ in jobs if condition == SAME_TIME} == {800: 125, 75: 1333, 8: 12500}
    assert [learner.n_layers for _, learner, *_ in jobs[:4]] == [800] * 4


def test_a_budget_that_holds_no_training_is_refused():
    nets = {layers: (depth.net_of(layers, 64), layers * 1e-3) for layers in (8, 2000)}
    with pytest.raises(BadInput, match="steps of the deepest net, and it must hold 5: give a larger budget"):
        list(depth._jobs(nets, 3, 10.0))


@pytest.mark.parametrize("layers", [1, 8, 75, 800, 1000, 2000, 2001])
def test_a_net_has_the_layers_it_is_asked_for(layers):
    assert depth.net_of(layers, 32).n_layers == layers


def test_a_training_tells_what_it_took():
    told = depth._trained(data(), depth.replace(depth.net_of(8, 16), steps=20), 0, 60.0)
    assert 5 <= told["steps"] <= 20, "as many as the stop role finds useful"
    assert told["loss_N"].shape == (N,)
    assert 0.5 < told["loss_N"].mean() < 1.0
    assert told["peak_mib"] > 100
    assert told["parameters"] > 8 * 16**2
    row = depth._row([{"condition": SAME_TIME, "layers": 8, "seed": 0} | told], SAME_TIME, 8, data())
    assert row["loss"] == pytest.approx(told["loss_N"].mean())
    assert row["hit_interval"][0] < row["hit_rate"] < row["hit_interval"][1]


def test_a_training_that_blows_up_is_a_row_with_its_reason():
    told = [{"condition": SAME_TIME, "layers": 8, "seed": 0, "failed": "it was nan"}]
    row = depth._row(told, SAME_TIME, 8, data())
    assert row["failed"] == ["it was nan"]
    assert json.dumps({key: value for key, value in row.items() if key != "loss_N"})


@pytest.mark.parametrize(("layers", "message"), [("8,many", "--layers must be whole numbers"), ("8", "at least two depths")])
def test_depths_that_cannot_be_compared_are_refused(layers, message, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert typed("depth", "--study", "btc_direction", "--layers", layers, "--quiet") == 2
    assert message in capfd.readouterr().err

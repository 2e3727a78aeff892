"""What tells a stack that cannot be trained from data that hold nothing: on made-up observations, and on nets whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep import examination
from ensemble_forecast.learners.deep.corrections import Pinball
from ensemble_forecast.learners.deep.deep import Deep
from ensemble_forecast.learners.deep.depth_diagnosis import (
    EXPLODING,
    HEALTHY,
    LINEAR,
    MISSED,
    NO_SIGNAL,
    UNTRAINABLE,
    VANISHING,
    Gain,
    Skill,
    of_data,
    of_gradients,
)
from ensemble_forecast.learners.deep.examination import Shifted, examine
from ensemble_forecast.learners.deep.inputs import View, Windows
from ensemble_forecast.learners.deep.profiles import Profile, watch
from ensemble_forecast.learners.deep.shapes import Anchored, Shapes

L = 200
ONES = np.ones(L)
LENGTH, CUTOFF = 700, 500
TASK = Task(horizon=1)
NEVER = Deadline.never()


def profile(**changed):
    sound = dict.fromkeys(("gradient_L", "activation_L", "signal_L", "reach_L", "residual_L", "gain_L"), ONES)
    return Profile(**{"step": 30, "update_L": 1e-3 * ONES, **sound, **changed})


FALLING, RISING = np.geomspace(1e-5, 1, L), np.geomspace(1, 1e20, L)


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({}, None),
        ({"reach_L": FALLING}, VANISHING),
        ({"signal_L": FALLING[::-1]}, VANISHING),
        ({"gradient_L": FALLING, "update_L": np.full(L, 1e-8)}, VANISHING),
        ({"gradient_L": FALLING}, None),  # the optimiser makes up for it: the weights move
        ({"gradient_L": 0 * ONES, "gain_L": 0 * ONES, "step": 0}, None),  # ReZero before its first step
        ({"activation_L": RISING}, EXPLODING),
        ({"activation_L": np.sqrt(1 + np.arange(L) * 50.0)}, None),  # unscaled, normalised: grows with the square root of depth
        ({"activation_L": np.append(ONES[1:], np.inf)}, EXPLODING),
        ({"reach_L": RISING[::-1]}, EXPLODING),
        ({"gradient_L": np.append(ONES[1:], np.nan)}, EXPLODING),
    ],
)
def test_a_profile_tells_what_is_wrong_with_a_stack(changed, finding):
    assert of_gradients([profile(**changed)], [1.0]) == finding


def test_a_loss_that_is_not_finite_or_no_profile_at_all_is_an_explosion():
    assert of_gradients([profile()], [1.0, np.nan]) == EXPLODING
    assert of_gradients([], [np.inf]) == EXPLODING


def skill(deep, small, linear, shuffled=(-0.01, 0.004), error=0.01):
    over = {"deep_over_linear": Gain(deep - linear, error), "small_over_linear": Gain(small - linear, error)}
    return Skill(deep=Gain(deep, error), small=Gain(small, error), linear=Gain(linear, error), shallow=(0.2, 0.22), shuffled=shuffled, **over)


@pytest.mark.parametrize(
    ("observed", "left", "verdict"),
    [
        (skill(0.0, 0.0, 0.0), 0.3, NO_SIGNAL),
        (skill(0.0, 0.0, 0.0), 0.95, UNTRAINABLE),
        (skill(0.3, 0.3, 0.3), 0.3, LINEAR),
        (skill(0.0, 0.2, 0.3), 0.3, LINEAR),
        (skill(0.3, 0.3, 0.1), 0.3, HEALTHY),
        (skill(0.3, 0.0, 0.0), 0.3, HEALTHY),
        (skill(0.1, 0.3, 0.1), 0.3, MISSED),
        (skill(0.3, 0.3, 0.3, shuffled=(0.2, 0.1)), 0.3, NO_SIGNAL),
        (skill(0.02, 0.0, 0.0), 0.3, NO_SIGNAL),
    ],
)
def test_gains_tell_what_the_data_hold(observed, left, verdict):
    assert of_data(observed, left) == verdict


def test_depth_pays_only_beyond_what_seeds_differ_by():
    assert not skill(0.23, 0, 0).depth_pays()
    assert skill(0.25, 0, 0).depth_pays()


def made(said):
    told = np.random.default_rng(3).normal(size=(LENGTH, 2))
    change = np.concatenate([[0.0], said(told)[:-1]]) + 0.5 * np.random.default_rng(4).normal(size=LENGTH)
    return Panel.of([change.cumsum()], past=[told])


def examined(learner, panel, **options):
    score = Origins.between(np.array([CUTOFF]), np.array([LENGTH - 2]))
    return examine(learner, panel, np.array([CUTOFF]), score, TASK, NEVER, **options)


def net(**fields):
    return Deep(
        **{"width": 16, "blocks": 8, "block_layers": 2, "context": 6, "batch": 64, "dropout": 0.0, "learning_rate": 3e-3, "steps": 150, **fields}
    )


PLAIN = {"skip": "none", "norm": "none", "initialisation": "glorot"}


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({**PLAIN, "blocks": 60, "block_layers": 4}, VANISHING),
        ({**PLAIN, "skip": "unit", "initialisation": "he", "blocks": 150}, EXPLODING),
        ({"skip": "rezero", "norm": "none", "blocks": 50}, "sound gradients"),
        ({"skip": "sqrt", "norm": "batch", "blocks": 50, "keeps": "ends"}, "sound gradients"),
        ({"skip": "sqrt", "blocks": 50, "block_layers": 4, "keeps": "segments"}, "sound gradients"),
    ],
)
def test_a_stack_that_cannot_be_trained_is_known_within_thirty_steps(fields, verdict, monkeypatch):
    monkeypatch.setattr(examination, "WATCHED", 11)
    found = examined(net(**fields), made(lambda told: told[:, 0]), with_data=False)
    assert found.verdict == verdict
    assert found.sentence.startswith(verdict)
    assert found.layers == net(**fields).n_layers
    assert set(found.as_json()["profiles"][-1]) == set(vars(profile()))


@pytest.mark.parametrize(
    ("said", "verdict"),
    [(lambda told: told[:, 0] - told[:, 1], LINEAR), (lambda told: 2 * np.abs(told[:, 0]), HEALTHY), (lambda told: 0 * told[:, 0], NO_SIGNAL)],
)
def test_controls_tell_a_line_from_a_bend_from_nothing(said, verdict, monkeypatch):
    monkeypatch.setattr(examination, "SHUFFLES", 6)
    monkeypatch.setitem(examination.SMALL, "steps", 150)
    found = examined(net(), made(said))
    assert found.verdict == verdict
    assert len(found.skill.shuffled) == 6


def test_too_few_unseen_origins_are_refused():
    score = Origins(np.array([0]), np.array([CUTOFF]))
    with pytest.raises(BadInput, match="at least 2 independent unseen origins are needed"):
        examine(net(), made(lambda told: told[:, 0]), np.array([CUTOFF]), score, TASK, NEVER)


def windows():
    view = View(context=6, season=1, horizon=1, past_mean_C=np.zeros(2), past_std_C=np.ones(2))
    return Windows.of(made(lambda told: told[:, 0]), Origins.between(np.array([8]), np.array([400])), view, torch.device("cpu"))


def test_a_profile_is_what_a_slow_loop_measures():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        seen, learner = windows(), net(blocks=3, steps=10)
        module = Anchored(learner.net(Shapes(6, 3, seen.n_extras, 1, 9)), torch.zeros(1, 9))
        (found,), _ = watch(module, module.body, Pinball(TASK.quantiles), seen, learner, 0, 1, (0,))
        batch = seen.inputs(torch.linspace(0, len(seen) - 1, 32).long())
        state = module.body.lift(batch.window_BLC, batch.extras_BE)
        for place, block in enumerate(module.body.blocks):
            after = block(state)
            assert found.activation_L[place] == pytest.approx(float(after.detach().square().mean().sqrt()), rel=1e-5)
            assert found.residual_L[place] == pytest.approx(float((after - state).detach().norm() / state.detach().norm()), rel=1e-4)
            assert found.gain_L[place] == pytest.approx(3**-0.5)
            state = after
    assert not found.gradient_L.any(), "the head starts at zero: nothing reaches the blocks in the first step"
    assert found.reach_L[0] > 0.1


def test_shifted_labels_are_those_of_other_origins_in_their_own_unit():
    seen, loss = windows(), Pinball(TASK.quantiles)
    rows = torch.tensor([0, 5, len(seen) - 1])
    batch, other = seen.inputs(rows), (rows + round(0.25 * len(seen))) % len(seen)
    shifted = Shifted(loss, 0.25).target(seen, batch, rows)
    change = seen.outcome(other) - seen.last(other)[:, None]
    torch.testing.assert_close(shifted, (change / batch.unit_B[:, None]).float(), rtol=1e-4, atol=1e-5)


def test_a_gain_has_the_standard_error_of_a_mean():
    gained_N = np.random.default_rng(0).normal(1.0, 2.0, size=400)
    gain = Gain.of(gained_N)
    assert gain == replace(gain, mean=gained_N.mean(), error=gained_N.std(ddof=1) / 20)
    assert gain.beyond(2)
    assert not Gain.of(np.array([1.0])).beyond(0.1)

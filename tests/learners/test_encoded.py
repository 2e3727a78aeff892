"""A learner with an encoder: what the member gets to see."""

import numpy as np
import pytest

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.contexts import MIN_STEPS
from ensemble_forecast.learners.base import build
from ensemble_forecast.learners.encoded import Encoded
from ensemble_forecast.windows import roles_until

NEVER = Deadline.never()


def test_the_member_sees_the_codes_of_the_window_that_ends_at_each_step():
    y = np.random.default_rng(0).normal(size=80).cumsum()
    panel, task = Panel.of([y, y[:50] + 3.0], past=[y[:, None], y[:50, None]]), Task(horizon=2, season_length=1)
    learner = build({"family": "encoded", "params": Encoded.SMOKE}).fit(panel, roles_until(panel, task, panel.ends_S), task, NEVER)
    shown = learner._shown(panel)
    assert shown.past_names == (*panel.past_names, "code_0", "code_1")
    np.testing.assert_array_equal(shown.past[:, :1], panel.past)
    assert np.isnan(shown.past[: MIN_STEPS - 1, 1:]).all()
    assert np.isfinite(shown.past[MIN_STEPS - 1 : 80, 1:]).all()
    one = Origins(np.array([1]), np.array([30]))
    np.testing.assert_array_equal(shown.past[one.rows(panel), 1:], learner.encoder_.encode(panel, one))


def test_a_refit_keeps_the_lengths_of_both():
    y = np.random.default_rng(0).normal(size=200).cumsum()
    panel, task = Panel.of([y]), Task(horizon=2, season_length=1)
    parts = {"member": {"family": "mlp", "params": {"steps": 40, "width": 8, "context": 8}}, "encoder": Encoded.SMOKE["encoder"]}
    learner = build({"family": "encoded", "params": parts}).fit(panel, roles_until(panel, task, panel.ends_S), task, NEVER)
    assert learner.stopped_["member"].steps == learner.member_.stopped_["steps"]
    assert learner.stopped_["encoder"].steps == learner.encoder_.stopped_["steps"]


@pytest.mark.parametrize(
    ("member", "encoder", "said"), [("naive", "autoencoder", "naive does not"), ("ridge", "mlp", "mlp is none")], ids=["member", "encoder"]
)
def test_parts_that_cannot_play_their_part_are_refused(member, encoder, said):
    with pytest.raises(BadInput, match=said):
        build({"family": "encoded", "params": {"member": {"family": member, "params": {}}, "encoder": {"family": encoder, "params": {}}}})

"""Selection: what stays, what goes, and that nothing but the fit role decides."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.ranks import ranks
from ensemble_forecast.learners import selected
from ensemble_forecast.learners.base import build
from ensemble_forecast.learners.selected import Selected
from ensemble_forecast.windows import Roles, roles_until

NEVER, TASK = Deadline.never(), Task(horizon=1)
RIDGE = {"family": "ridge", "params": {}}


def noisy_panel(rows=900, noise=20, seed=0):
    """A walk whose next step is announced by x0; x1 is nearly x0, x2 announces the size of the step, the rest is noise."""
    rng = np.random.default_rng(seed)
    told, loud = rng.normal(size=rows), np.exp(rng.normal(size=rows))
    change = np.concatenate([[0.0], (told + 1.5 * loud * rng.normal(size=rows))[:-1]])
    twin = told + 0.05 * rng.normal(size=rows)
    return Panel.of([np.cumsum(change)], past=[np.column_stack([told, twin, loud, rng.normal(size=(rows, noise))])])


def fitted(panel, **fields):
    learner = build({"family": "selected", "params": {"member": RIDGE} | fields})
    return learner.fit(panel, roles_until(panel, TASK, panel.ends_S), TASK, NEVER)


def test_what_announces_the_change_or_its_size_stays_and_its_twin_goes():
    kept = fitted(noisy_panel(), most=3).kept_
    assert len({"x0", "x1"} & set(kept)) == 1
    assert "x2" in kept
    assert len(kept) <= 3


def test_stability_keeps_out_what_is_drawn_now_and_then():
    assert len(fitted(noisy_panel(), most=6, stability=1.0).kept_) < len(fitted(noisy_panel(), most=6, stability=0.0).kept_) == 6


def test_something_stays_also_where_nothing_is_stable():
    panel = Panel.of([np.random.default_rng(0).normal(size=300).cumsum()], past=[np.random.default_rng(1).normal(size=(300, 60))])
    assert len(fitted(panel, most=1, stability=1.0).kept_) == 1


def test_the_member_sees_what_was_kept_and_forecasts_as_it_would_alone():
    panel = noisy_panel()
    learner = fitted(panel, most=2)
    columns = [panel.past_names.index(name) for name in learner.kept_]
    alone_panel = replace(panel, past=panel.past[:, columns], past_names=tuple(learner.kept_))
    alone = build(RIDGE).fit(alone_panel, roles_until(panel, TASK, panel.ends_S), TASK, NEVER)
    ends = Origins.ends(panel)
    np.testing.assert_array_equal(learner.predict(panel, ends, NEVER), alone.predict(alone_panel, ends, NEVER))


def test_rows_outside_the_fit_role_decide_nothing():
    panel = noisy_panel()
    roles = roles_until(panel, TASK, panel.ends_S)
    early = Roles(roles.fit.take(roles.fit.step < 400), None)
    rng = np.random.default_rng(5)
    later = (np.arange(900) > 400)[:, None]
    scrambled = replace(panel, past=np.where(later, rng.normal(size=panel.past.shape), panel.past), y=np.where(later[:, 0], panel.y[400], panel.y))
    first, second = (Selected(member=build(RIDGE), most=4).fit(each, early, TASK, NEVER).kept_ for each in (panel, scrambled))
    assert first == second


def test_relevance_is_the_rank_correlation_of_scipy():
    panel = noisy_panel(rows=300)
    origins = roles_until(panel, TASK, panel.ends_S, with_stop=False).fit
    label_N2 = selected._labels(panel, origins, TASK)
    x_NF = panel.past[origins.rows(panel)]
    slow = [max(abs(stats.spearmanr(x_NF[:, j], label_N2[:, k]).statistic) for k in (0, 1)) for j in range(x_NF.shape[1])]
    np.testing.assert_allclose(selected._relevance(ranks(x_NF), ranks(label_N2)), slow, rtol=1e-9)


def test_a_panel_without_past_covariates_is_handed_on_as_it_is():
    panel = Panel.of([np.random.default_rng(0).normal(size=200).cumsum()])
    assert fitted(panel).kept_ == []


@pytest.mark.parametrize("fields", [{"most": 0}, {"redundancy": 1.5}, {"stability": -0.1}])
def test_impossible_fields_are_refused(fields):
    with pytest.raises(BadInput, match="selected needs"):
        build({"family": "selected", "params": {"member": RIDGE} | fields})


def test_a_member_that_reads_no_past_covariates_is_refused():
    with pytest.raises(BadInput, match="naive does not"):
        build({"family": "selected", "params": {"member": {"family": "naive", "params": {}}}})

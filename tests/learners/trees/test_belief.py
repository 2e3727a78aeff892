"""Classes of equal weight in training, and forecasts put back to the rates that were met."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from ensemble_forecast.data.origins import Origins, outcome
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import build
from ensemble_forecast.learners.trees.belief import balanced, base_rates, put_back
from ensemble_forecast.learners.trees.rows import Rows
from ensemble_forecast.metrics import log_loss
from ensemble_forecast.windows import roles_until

NEVER, TASK = Deadline.never(), Task(horizon=1, kind="direction")
LOGISTIC = {"estimator": "sklearn.linear_model:LogisticRegression", "rows": 2000, "confidence": 1.0}
FAMILIES = {
    "xgboost": {"rounds": 60, "depth": 3, "rows": 2000},
    "hist_gradient_boosting": {"rounds": 60, "leaves": 8, "rows": 2000},
    "adaboost": {"trees": 8, "depth": 4, "rows": 2000},
    "elastic_net": {"rows": 2000},
    "extra_trees": {"trees": 40, "rows": 2000, "confidence": 1.0},
    "random_forest": {"trees": 40, "rows": 2000, "confidence": 1.0},
    "scikit_learn": LOGISTIC,
}


def seldom_rising(seed=0, length=1200):
    """A walk that rises in one step of seven, and a covariate that says a little about when."""
    rng = np.random.default_rng(seed)
    hint = rng.normal(size=length)
    change = np.concatenate([[0.0], hint[:-1]]) + rng.normal(size=length) - 1.5
    return Panel.of([np.cumsum(change)], past=[hint[:, None]])


def forecast(family, panel, **params):
    roles = roles_until(panel, TASK, np.array([899]), 10)
    learner = build({"family": family, "params": FAMILIES[family] | params}).fit(panel.cut(np.array([899])), roles, TASK, NEVER)
    return learner.predict(panel, Origins.between(np.array([900]), np.array([1198])), NEVER)


def test_both_classes_weigh_the_same_at_every_step():
    rng = np.random.default_rng(0)
    ahead = rng.integers(1, 4, 500)
    rows = Rows(np.empty((500, 0)), (rng.random(500) < 0.2 * ahead).astype(float), np.ones(500), ahead)
    weighed = balanced(rows, base_rates(rows, Task(horizon=3, kind="direction")))
    for step in (1, 2, 3):
        weights = [weighed.weight_R[(ahead == step) & (rows.target_R == label)].sum() for label in (0, 1)]
        assert weights[0] == pytest.approx(weights[1])


def test_what_was_learnt_balanced_is_put_back_to_what_is_learnt_plainly():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60_000, 1))
    label = rng.random(60_000) < 1 / (1 + np.exp(2 - x[:, 0]))
    plain = LogisticRegression(C=1e9).fit(x, label).predict_proba(x)[:, 1]
    even = LogisticRegression(C=1e9, class_weight="balanced").fit(x, label).predict_proba(x)[:, 1]
    assert abs(even.mean() - plain.mean()) > 0.2
    back = put_back(np.stack([1 - even, even], axis=1), np.array([1 - label.mean(), label.mean()]))
    np.testing.assert_allclose(back[:, 1], plain, atol=0.01)


@pytest.mark.parametrize("family", FAMILIES)
def test_probabilities_of_balanced_learners_are_those_of_the_rates_met(family):
    panel = seldom_rising()
    label = outcome(panel, Origins.between(np.array([900]), np.array([1198])), TASK)
    plain, even = (forecast(family, panel, balanced=choice) for choice in (False, True))
    assert not np.array_equal(plain, even)
    assert even[..., 1].mean() == pytest.approx(label.mean(), abs=0.06)
    base = np.full(even.shape, 1 - label.mean())
    base[..., 1] = label.mean()
    assert log_loss(label, even, np.ones(299), ()) < log_loss(label, base, np.ones(299), ()) - 0.01


def test_an_estimator_that_takes_no_weights_cannot_be_balanced():
    with pytest.raises(BadInput, match=r"balanced needs an estimator whose fit takes sample_weight, and sklearn.neighbors"):
        forecast("scikit_learn", seldom_rising(), estimator="sklearn.neighbors:KNeighborsClassifier", balanced=True)

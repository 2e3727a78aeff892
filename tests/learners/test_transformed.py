import numpy as np
import pytest

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import build
from ensemble_forecast.learners.transformed import TRANSFORMS, Transformed, running_floor
from ensemble_forecast.windows import roles_until


def growing(n=120, rate=0.05):
    return Panel.of([np.exp(rate * np.arange(n))])


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_inverting_undoes_applying(name):
    apply, invert = TRANSFORMS[name]
    values = np.array([1e-6, 0.3, 1.0, 17.0, 1e9])
    np.testing.assert_allclose(invert(apply(values, 3.0), 3.0), values, rtol=1e-12)


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_the_order_of_quantiles_is_kept(name):
    _, invert = TRANSFORMS[name]
    assert (np.diff(invert(np.linspace(-200, 200, 101), 5.0)) >= 0).all()


def test_drift_on_the_logarithm_continues_exponential_growth_exactly():
    panel, task = growing(), Task(horizon=5)
    roles = roles_until(panel, task, panel.ends_S, 3)
    learner = build({"family": "transformed", "params": {"transform": "log", "member": {"family": "drift", "params": {}}}})
    forecast = learner.fit(panel, roles, task, Deadline.never()).predict(panel, Origins.ends(panel), Deadline.never())
    np.testing.assert_allclose(forecast[0, :, 4], np.exp(0.05 * np.arange(120, 125)), rtol=1e-6)


def test_the_floor_of_the_logarithm_reads_nothing_later():
    y = np.array([0.0, 5.0, 0.0, 9.0, 1.0])
    later = np.array([0.0, 5.0, 0.0, 500.0, 700.0])
    np.testing.assert_array_equal(running_floor(Panel.of([y]))[:3], running_floor(Panel.of([later]))[:3])


def test_an_unknown_transform_is_refused():
    with pytest.raises(BadInput, match="log, asinh"):
        Transformed(transform="square", member=build({"family": "naive", "params": {}}))

"""Every family of nets on a GPU: what it learns on a CPU, to the precision of bfloat16; and what it learnt there is at home anywhere."""

import numpy as np
import pytest
import torch

from ensemble_forecast import persist
from ensemble_forecast.learners.bagged import Bagged
from ensemble_forecast.learners.base import Learner
from ensemble_forecast.registry import NETS

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
every_net = pytest.mark.parametrize("name", NETS)

BFLOAT16 = 0.1  # of what a training changes: on a CPU that computes in bfloat16 it was 0.03 for the deepest net, a third of that for most
FLOAT32 = 1e-3


@every_net
def test_a_gpu_learns_what_a_cpu_learns(name, fit, forecast, still, untrained, distance, same_batches):
    learner = still(name)
    on_cpu = forecast(fit(learner, "cpu"), "cpu")
    on_gpu = forecast(fit(learner, "cuda"), "cuda")
    assert distance(on_gpu, on_cpu, untrained(learner)) < BFLOAT16


@every_net
def test_a_net_forecasts_the_same_on_both_devices(name, fit, forecast, small, untrained, distance):
    fitted = fit(small(name), "cuda")
    on_cpu = forecast(fitted, "cpu")
    assert distance(forecast(fitted, "cuda"), on_cpu, untrained(small(name))) < FLOAT32


def test_a_cpu_loads_what_a_gpu_saved(fit, forecast, small, tmp_path):
    fitted = fit(small("lstm"), "cuda")
    persist.save(tmp_path / "net", {"net": fitted}, {})
    loaded = persist.load(tmp_path / "net")[0]["net"]
    np.testing.assert_array_equal(forecast(loaded, "cpu"), forecast(fitted, "cpu"))


def test_a_bag_of_16_is_trained_in_one_pass_as_one_by_one(fit, forecast, still, untrained, distance, monkeypatch):
    bag = Bagged(member=still("mlp"), copies=16)
    in_one_pass = forecast_bag(fit(bag, "cuda"), forecast)
    monkeypatch.setattr(type(bag.member), "fit_many", Learner.fit_many)
    assert distance(in_one_pass, forecast_bag(fit(bag, "cuda"), forecast), untrained(bag.member)) < BFLOAT16


def forecast_bag(bag, forecast):
    return np.mean([forecast(member, "cuda") for member in bag.members_], axis=0)

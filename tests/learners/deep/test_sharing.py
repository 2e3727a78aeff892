"""Parts of a GPU's memory: forecast from shapes, and never more than there is."""

from dataclasses import replace

import pytest
import torch

from ensemble_forecast.data.task import Task
from ensemble_forecast.learners.base import Size
from ensemble_forecast.learners.deep import footprint, sharing
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.learners.deep.transformer import Transformer

TASK = Task(horizon=6, season_length=7)
SIZE = Size(n_series=3, n_fit=1000, n_scored=50, length=600, n_past=2)
GIB = 2**30


@pytest.mark.parametrize("at_most", [1, 3, 50])
@pytest.mark.parametrize("need", [0.1 * GIB, 3 * GIB, 500 * GIB])
@pytest.mark.parametrize("free", [4 * GIB, 141 * GIB])
def test_all_parts_and_what_stands_beside_them_fit_into_what_is_free(free, need, at_most):
    total = 141 * GIB
    count, part = sharing.parts(free, total, need, at_most)
    assert 1 <= count <= at_most
    assert count * (part * total + sharing.CONTEXT_BYTES) <= free
    assert count == 1 or part * total >= need
    one_more = (count + 1) * (need + sharing.CONTEXT_BYTES)
    assert count == at_most or one_more > sharing.SPARED * free


def test_what_a_net_takes_is_counted_layer_by_layer():
    """An MLP without blocks keeps its flat inputs, and weights are there six times."""
    learner = Mlp(width=32, blocks=0, batch=64, dropout=0.0)
    shapes = learner.expected_shapes(SIZE, TASK)
    inputs = shapes.context * shapes.channels + shapes.extras
    weights = sum(weight.numel() for weight in learner.net(shapes).parameters())
    least = 4 * (footprint.COPIES * weights + 64 * inputs)
    assert least <= learner.memory(SIZE, TASK) <= 2 * least


def test_more_rows_and_longer_series_take_more():
    one = Transformer().memory(SIZE, TASK)
    assert Transformer(batch=512).memory(SIZE, TASK) > 1.5 * one
    assert sharing.need_bytes(SIZE, TASK) > 4 * one
    assert sharing.need_bytes(replace(SIZE, n_series=10**6), TASK) > sharing.need_bytes(SIZE, TASK) + 600 * 10**6 * 16


def test_without_a_gpu_nothing_is_shared(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert sharing.take_part(SIZE, TASK, 4, None) == {}


def test_the_first_settles_the_part_and_the_others_keep_to_it(monkeypatch):
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (100 * GIB, 141 * GIB))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", taken.append)
    said = sharing.take_part(SIZE, TASK, 4, None)
    assert said["gpu_sharers"] == 4
    assert sharing.take_part(SIZE, TASK, 4, said["gpu_part"]) == {}
    assert taken == [said["gpu_part"]] * 2

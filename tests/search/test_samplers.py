"""Samplers by name, and the grid against all that can be drawn."""

import itertools
import math
from typing import get_args

import pytest

from ensemble_forecast.pipeline import Pipeline
from ensemble_forecast.search.journal import FamilyStudy, open_storage
from ensemble_forecast.search.samplers import NAMES, GridTrial, grid
from ensemble_forecast.search.space import canonical
from ensemble_forecast.search.spaces import parse_space

SPACE = {
    "cnn": {
        "convolution": {"choices": ["standard", "pointwise"]},
        "kernel": {"choices": [3, 5, 9], "when": {"convolution": "standard"}},
        "layers": {"low": 1, "high": 3},
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "channels": {"low": 8, "high": 64, "step": 8},
    }
}
TABLE = parse_space(SPACE, "here").tables["cnn"]
STARTED = "2026-01-01T00:00:00+00:00"


def test_the_grid_meets_every_point_once_and_the_ends_of_every_range():
    points = list(grid(TABLE, seed=3))
    assert len(points) == math.prod([2, 3, 3, 5, 5])
    assert len({tuple(point.items()) for point in points}) == len(points)
    rates = sorted({point["learning_rate"] for point in points})
    assert rates == pytest.approx([1e-4, 10**-3.5, 1e-3, 10**-2.5, 1e-2])
    assert {point["channels"] for point in points} == {8, 24, 40, 48, 64} or {point["channels"] for point in points} == {8, 24, 32, 48, 64}
    assert all(TABLE.holes[name].fits(value) for point in points for name, value in point.items())


def test_the_grid_varies_every_hole_early():
    first = list(itertools.islice(grid(TABLE, seed=3), 20))
    assert all(len({point[name] for point in first}) > 1 for name in TABLE.holes)


def test_a_point_is_drawn_as_it_stands_and_what_is_ruled_out_is_left_out():
    point = {"convolution": "pointwise", "kernel": 9, "layers": 2, "learning_rate": 1e-3, "channels": 16}
    assert TABLE.draw(GridTrial(point)) == {"convolution": "pointwise", "layers": 2, "learning_rate": 1e-3, "channels": 16}


@pytest.mark.parametrize("name", NAMES)
def test_every_sampler_draws_what_the_table_allows_and_nothing_twice(tmp_path, name):
    study, seen = FamilyStudy(open_storage(tmp_path / "journal.log"), "run", TABLE, 0, name), set()
    for trial in range(8):
        number, params = study.draw(f"cnn-{trial:04d}", STARTED, seen)
        key = canonical("cnn", params)
        assert key not in seen
        seen.add(key)
        assert ("kernel" in params) == (params["convolution"] == "standard")
        study.tell(number, "finished", params["learning_rate"])
    assert len(study.ids()) == 8


def test_a_grid_comes_to_its_end_and_goes_on_where_it_was(tmp_path):
    table = parse_space(
        {"cnn": {"convolution": {"choices": ["standard", "pointwise"]}, "kernel": {"choices": [3, 5], "when": {"convolution": "standard"}}}}, "here"
    ).tables["cnn"]
    seen = set()
    for _ in range(2):  # a second call of the search
        study = FamilyStudy(open_storage(tmp_path / "journal.log"), "run", table, 0, "grid")
        while (drawn := study.draw(f"cnn-{len(seen):04d}", STARTED, seen)) is not None and len(seen) < 2:
            seen.add(canonical("cnn", drawn[1]))
            study.tell(drawn[0], "finished", 1.0)
        if drawn is not None:
            seen.add(canonical("cnn", drawn[1]))
            study.tell(drawn[0], "finished", 1.0)
    assert len(seen) == 3
    assert study.draw("cnn-0009", STARTED, seen) is None


def test_a_pipeline_names_all_of_them_and_no_others():
    assert set(get_args(Pipeline.model_fields["sampler"].annotation)) == set(NAMES)

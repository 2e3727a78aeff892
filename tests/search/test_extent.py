"""The size of a space: against counting what can be drawn."""

import itertools

from ensemble_forecast.search.extent import combinations, extent
from ensemble_forecast.search.space import canonical
from ensemble_forecast.search.spaces import load_space, parse_space

SMALL = {
    "cnn": {
        "convolution": {"choices": ["standard", "pointwise"]},
        "kernel": {"choices": [3, 5, 9], "when": {"convolution": "standard"}},
        "layers": {"low": 1, "high": 2},
        "pool": {"choices": [1, 2], "when": {"layers": 2}},
        "channels": 8,
        "portfolio": [{}, {"layers": 2}],
    }
}


class Counting:
    """A trial that walks through all values of all holes."""

    def __init__(self, path):
        self.path, self.asked = list(path), 0

    def _next(self, values):
        index = self.path[self.asked] if self.asked < len(self.path) else 0
        self.asked += 1
        return values[index % len(values)]

    def suggest_int(self, _name, low, high, *, step=1, log=False):  # noqa: ARG002
        return self._next(range(low, high + 1, step))

    def suggest_categorical(self, _name, choices):
        return self._next(choices)


def test_combinations_are_those_that_can_be_drawn():
    table = parse_space(SMALL, "here").tables["cnn"]
    drawn = {canonical("cnn", table.draw(Counting(path))) for path in itertools.product(range(6), repeat=4)}
    assert combinations(table) == len(drawn) == (3 + 1) * (1 + 2)


def test_a_space_is_told_in_words_and_numbers():
    (row,) = extent(parse_space(SMALL | {"cnn": SMALL["cnn"] | {"dropout": {"low": 0.0, "high": 0.4}}}, "here"))
    assert row == {
        "family": "cnn",
        "portfolio": 2,
        "holes": [
            "convolution in {standard, pointwise}",
            "kernel in {3, 5, 9} when convolution = standard",
            "layers 1 to 2",
            "pool in {1, 2} when layers = 2",
            "dropout 0.0 to 0.4",
        ],
        "combinations": 12,
        "continuous": 1,
    }


def test_every_space_that_is_shipped_can_be_told():
    for name in ("default", "deep", "wide", "statistical", "smoke"):
        rows = extent(load_space(name))
        assert all(row["combinations"] >= 1 and row["portfolio"] >= 1 for row in rows)

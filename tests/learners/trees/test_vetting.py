"""Boosters are looked through before the library reads them, by a reader of our own."""

import contextlib
import json

import numpy as np
import pytest
import xgboost

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.trees.boosting import from_foreign_bytes, to_bytes
from ensemble_forecast.learners.trees.vetting import _Reader, vet

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype(np.float32)
Y = X[:, 0] + X[:, 1] * X[:, 2]
CLASS = RNG.integers(3, size=300)
OBJECTIVES = {
    "squares": ({}, Y),
    "quantiles": ({"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]}, Y),
    "two classes": ({"objective": "binary:logistic"}, CLASS > 0),
    "three classes": ({"objective": "multi:softprob", "num_class": 3}, CLASS),
    "leaves of all outputs": ({"multi_strategy": "multi_output_tree"}, np.stack([Y, X[:, 3], -Y], axis=1)),
    "leaf by leaf": ({"grow_policy": "lossguide", "max_leaves": 9, "gamma": 0.1}, Y),
}


def booster(name="squares"):
    params, label = OBJECTIVES[name]
    return xgboost.train({"max_depth": 3, "nthread": 1, "verbosity": 0, **params}, xgboost.DMatrix(X, label), 6)


def plain(value):
    """Turn arrays into lists and whole floats into what JSON reads."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | np.ndarray) else value.item() if isinstance(value, np.generic) else value


@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_the_library_writes_is_read_as_the_library_says_it_is(name):
    grown = booster(name)
    written = to_bytes(grown)
    vet(written)
    vet(to_bytes(grown[:2]))
    ours, theirs = (
        found["learner"]["gradient_booster"]["model"] for found in (plain(_Reader(written.tobytes()).value(0)), json.loads(grown.save_raw("json")))
    )
    assert len(ours["trees"]) == len(theirs["trees"])
    for one, other in zip(ours["trees"], theirs["trees"], strict=True):
        assert one.keys() == other.keys()
        for key in ("left_children", "right_children", "split_indices", "parents"):
            np.testing.assert_array_equal(one[key], other[key])
        counts = np.ones(len(one["parents"]), dtype=bool)
        if name == "leaves of all outputs":
            np.testing.assert_allclose(one["leaf_weights"], other["leaf_weights"], rtol=1e-6)
            counts = np.array(one["left_children"]) >= 0  # leaves have no condition, and anything may stand there
        np.testing.assert_allclose(np.array(one["split_conditions"])[counts], np.array(other["split_conditions"])[counts], rtol=1e-6)
    again = from_foreign_bytes(written)
    assert np.array_equal(again.inplace_predict(X), grown.inplace_predict(X))


def pointing(name, value, objective="squares"):
    """The bytes of a booster whose first tree has another entry at its root."""
    content = bytearray(to_bytes(booster(objective)).tobytes())
    place = content.index(name) + len(name)
    assert content[place : place + 2] == b"[$"
    assert chr(content[place + 2]) in "lL"
    width = {"l": 4, "L": 8}[chr(content[place + 2])]
    first = place + 3 + 2 + 8  # type, then "#L" and eight bytes of length
    content[first : first + width] = value.to_bytes(width, "big", signed=True)
    return np.frombuffer(bytes(content), dtype=np.uint8)


@pytest.mark.parametrize("objective", ["squares", "leaves of all outputs"])
@pytest.mark.parametrize("value", [0, -5, 10**6])
@pytest.mark.parametrize("name", [b"left_children", b"right_children"])
def test_a_tree_that_leads_astray_is_refused(name, value, objective):
    with pytest.raises(BadInput, match="leads to nodes, leaves or columns"):
        vet(pointing(name, value, objective))


def test_a_root_with_a_parent_is_refused():
    with pytest.raises(BadInput, match="parents that are not"):
        vet(pointing(b"parents", 1))


@pytest.mark.parametrize("value", [-1, 4, 10**6])
def test_a_split_on_a_column_that_there_is_not_is_refused(value):
    with pytest.raises(BadInput, match="leads to nodes, leaves or columns"):
        vet(pointing(b"split_indices", value))


@pytest.mark.parametrize("objective", ["squares", "leaves of all outputs"])
def test_every_cut_and_many_flips_are_refused_or_harmless(objective):
    written = to_bytes(booster(objective))
    for end in range(0, len(written), 97):
        with pytest.raises(BadInput, match="damaged"):
            vet(written[:end])
    for place in RNG.integers(len(written), size=200):
        spoilt = written.copy()
        spoilt[place] ^= 1 << RNG.integers(8)
        with contextlib.suppress(ValueError):  # BadInput is one; the library's own say that the columns differ. A crash would end the tests
            from_foreign_bytes(spoilt).inplace_predict(X)


def test_other_bytes_are_no_booster():
    for content in (b"", b"{", b"\x80\x04K\x01.", b"{}", b"[" * 10_000, b"binf" + bytes(100)):
        with pytest.raises(BadInput, match="damaged"):
            vet(np.frombuffer(content, dtype=np.uint8))

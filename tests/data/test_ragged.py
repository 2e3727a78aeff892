"""Running figures of ragged arrays, against one series at a time."""

import itertools

import numpy as np
import pytest

from ensemble_forecast.data.ragged import accumulate

SIZES = [1, 7, 0, 300, 8, 9, 1, 64, 65, 0]


@pytest.fixture
def ragged() -> tuple[np.ndarray, np.ndarray]:
    """Values over many orders of magnitude, so that the order of a sum shows in its bits; and offsets."""
    rng = np.random.default_rng(0)
    return rng.normal(size=sum(SIZES)) * 10.0 ** rng.integers(-8, 9, sum(SIZES)), np.concatenate([[0], np.cumsum(SIZES)])


@pytest.mark.parametrize("ufunc", [np.add, np.fmin, np.fmax])
def test_every_series_gets_the_bits_it_would_get_alone(ufunc: np.ufunc, ragged: tuple[np.ndarray, np.ndarray]) -> None:
    values, offsets = ragged
    values[[0, 3, 100, 101]] = np.nan
    alone = [ufunc.accumulate(values[begin:end]) for begin, end in itertools.pairwise(offsets)]
    np.testing.assert_array_equal(accumulate(ufunc, values, offsets), np.concatenate(alone))


def test_counts_stay_whole_numbers() -> None:
    assert accumulate(np.add, np.ones(5, dtype=np.int64), np.array([0, 2, 5])).tolist() == [1, 2, 1, 2, 3]


def test_no_rows_give_no_rows() -> None:
    assert accumulate(np.add, np.empty(0), np.array([0, 0])).shape == (0,)

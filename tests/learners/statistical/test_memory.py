"""Fits are found again by the history they were made on, and by nothing else."""

import numpy as np

from ensemble_forecast.learners.statistical.memory import Memory, digest, remember

LONGEST = 6
LONG, SHORT, EMPTY = np.arange(10.0), np.array([5.0, 5.0, 0.0]), np.empty(0)
FITTED = [LONG[-LONGEST:], SHORT, EMPTY, np.ones(4)]
NUMBERS = np.array([[1.0, np.nan], [2.0, 2.0], [np.nan, np.nan], [np.nan, np.nan]])


def find(id, *values):
    found = Memory(remember(("long", "short", "empty", "failed"), FITTED, NUMBERS), LONGEST).find(id, np.array(values, dtype=float))
    return None if found is None else (float(found.numbers_P[0]), found.begin, found.is_newest)


def test_the_history_that_was_fitted_is_found_under_its_name_and_any_other():
    assert find("long", *LONG) == find("stranger", *LONG) == (1.0, 4, True)
    assert find("short", *SHORT) == find("stranger", *SHORT) == (2.0, 0, True)


def test_a_known_series_is_found_at_later_origins_and_in_a_trimmed_history():
    assert find("long", *LONG, 77.0, 9.0) == (1.0, 4, False)
    assert find("long", *LONG[4:], 77.0) == (1.0, 0, False)
    assert find("short", *SHORT, 0.0, 0.0) == (2.0, 0, False), "its last value comes again"


def test_what_was_not_fitted_is_not_found():
    assert find("long", *LONG[:-1]) is None, "an earlier origin"
    assert find("long", *LONG[5:]) is None, "trimmed below what was fitted"
    assert find("long", *LONG[:-2], 8.5, 9.0) is None, "another past"
    assert find("stranger", *LONG, 77.0) is None, "later, under an unknown name"
    assert find("failed", 1.0, 1.0, 1.0, 1.0) is None, "nothing was fitted"
    assert find("empty") is None
    assert find("short", *LONG) is None, "another series under a known name"


def test_digests_tell_histories_apart():
    histories = [LONG, LONG[1:], LONG[:-1], LONG + 1e-12, EMPTY]
    assert len({digest(y_L) for y_L in histories}) == len(histories)
    assert digest(LONG) == digest(np.arange(20.0)[:10])

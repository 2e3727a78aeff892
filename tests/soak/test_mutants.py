"""Three hundred spoilt artefacts: refused in a line, or as good as before, and nothing executed."""

import collections

import pytest
from mutants import check

pytestmark = pytest.mark.soak
FIRST, COUNT = 1000, 300


def test_three_hundred_spoilt_artefacts_are_refused_or_forecast_as_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcomes = collections.Counter()
    for number in range(FIRST, FIRST + COUNT):
        folder = tmp_path / str(number)
        folder.mkdir()
        outcomes[check(number, folder)] += 1
    assert outcomes["refused"] > 0.7 * COUNT, outcomes
    assert sum(outcomes.values()) == COUNT

"""The service in a process of its own under a minute of mixed load."""

import pytest
from benchmarks.service import WANTED_GROWTH, hammer, served

pytestmark = pytest.mark.soak


def test_a_minute_of_good_and_bad_load_at_its_limit(smoke_home):
    with served(str(smoke_home / "runs"), "smoke") as (url, process):
        figures = hammer(url, process, 60.0)
    assert set(figures.good) == {200}
    assert all(400 <= status < 500 for status in figures.bad)
    assert not figures.without_reason
    assert figures.growth < WANTED_GROWTH

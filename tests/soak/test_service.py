"""The service in a process of its own under a minute of mixed load."""

import pytest
from benchmarks.service import WANTED_GROWTH, hammer, served
from handmade import handmade

from ensemble_forecast.data.samples import btc_usd_daily

pytestmark = pytest.mark.soak


def test_a_minute_of_good_and_bad_load_at_its_limit(tmp_path):
    handmade(tmp_path, btc_usd_daily(), "ridge", "theta", "ets", "xgboost")
    with served(str(tmp_path), "toy") as (url, process):
        figures = hammer(url, process, 60.0)
    assert set(figures.good) == {200}
    assert all(400 <= status < 500 for status in figures.bad)
    assert not figures.without_reason
    assert figures.growth < WANTED_GROWTH

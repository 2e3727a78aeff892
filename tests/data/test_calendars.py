"""Calendars against pandas: each frequency is found again in its own stamps, and arithmetic agrees with `date_range`."""

import numpy as np
import pandas as pd
import pytest

from ensemble_forecast.data.calendars import Calendar, infer
from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.frames import to_panel
from ensemble_forecast.errors import BadInput

FOUND = ["s", "15s", "min", "5min", "h", "4h", "D", "2D", "B", "W-MON", "W-SUN", "2W-WED", "MS", "ME", "BMS", "BME", "2MS", "QS-JAN", "QS-FEB",
         "QE-DEC", "QE-JAN", "6MS", "2QS-JAN", "YS-JAN", "YS-JUL", "YE-DEC", "YE-JUN", "2YS-JAN"]  # fmt: skip
OTHER_NAMES = {"6MS": "2QS-JAN"}


def stamps_of(freq, periods=40, start="2021-01-04 07:30"):
    return pd.date_range(start, periods=periods, freq=freq)


def seconds(stamps):
    return stamps.to_numpy().astype("datetime64[s]").astype(np.int64)


@pytest.mark.parametrize("freq", FOUND)
@pytest.mark.parametrize("clock", ["00:00", "07:30"])
def test_each_calendar_is_found_in_its_own_stamps(freq, clock):
    stamps = stamps_of(freq, start=f"2021-01-01 {clock}")
    panel = to_panel(pd.DataFrame({"ds": stamps, "y": np.arange(40.0)}), Columns())
    assert (panel.stamps(0, 0, 40) == stamps).all()
    assert (panel.stamps(0, 40, 5) == pd.date_range(stamps[0], periods=45, freq=freq)[40:]).all()
    assert panel.freq == OTHER_NAMES.get(freq, freq)


@pytest.mark.parametrize("freq", FOUND)
def test_steps_count_the_calendar_and_locate_finds_every_stamp(freq):
    whole = stamps_of(freq)
    kept = np.array([0, 1, 2, 5, 6, 7, 20, 39])
    both, offsets = np.concatenate([seconds(whole[kept]), seconds(whole)]), np.array([0, 8, 48])
    calendar = Calendar.parse(freq)
    step, nearest = calendar.locate(both, offsets)
    np.testing.assert_array_equal(step[:8] - step[0], kept)
    np.testing.assert_array_equal(step[8:] - step[8], np.arange(40))
    np.testing.assert_array_equal(nearest, both)
    np.testing.assert_array_equal(calendar.stamps(seconds(whole[:1]), np.array([0, 40])), seconds(whole))


@pytest.mark.parametrize("freq", FOUND)
def test_steps_may_be_missing_and_the_calendar_is_found_all_the_same(freq):
    stamps = stamps_of(freq, 60).delete([9, 10, 20, 30, 31, 32, 41, 50])
    found = infer(seconds(stamps), np.array([0, len(stamps)]))
    assert len(to_panel(pd.DataFrame({"ds": stamps, "y": np.arange(52.0)}), Columns(gaps="fill")).y) == 60, found


@pytest.mark.parametrize(
    ("given", "start", "real"),
    [
        ("W", "2024-01-01", "W-MON"),
        ("QS", "2024-02-01", "QS-FEB"),
        ("YS", "2024-07-01", "YS-JUL"),
        ("M", "2024-01-31", "ME"),
        ("H", "2024-01-01", "h"),
    ],
)
def test_a_given_freq_is_anchored_where_the_stamps_lie(given, start, real):
    frame = pd.DataFrame({"ds": pd.date_range(start, periods=20, freq=real), "y": np.arange(20.0)})
    assert to_panel(frame, Columns(freq=given)).freq == real


def test_series_may_begin_at_their_own_minute():
    frame = pd.concat(
        pd.DataFrame({"unique_id": name, "ds": pd.date_range(start, periods=10, freq="h"), "y": np.arange(10.0)})
        for name, start in (("A", "2024-01-01 00:00"), ("B", "2024-01-01 00:30"))
    )
    panel = to_panel(frame, Columns())
    assert panel.freq == "h"
    assert panel.stamps(1, 0, 1)[0] == pd.Timestamp("2024-01-01 00:30")


def test_weeks_on_different_days_are_seven_day_steps():
    frame = pd.concat(
        pd.DataFrame({"unique_id": name, "ds": pd.date_range(start, periods=10, freq="7D"), "y": np.arange(10.0)})
        for name, start in (("A", "2024-01-01"), ("B", "2024-01-03"))
    )
    assert to_panel(frame, Columns()).freq == "7D"


def test_years_and_quarters_may_be_written_short():
    years = pd.DataFrame({"year": np.arange(1990, 2010), "y": np.arange(20.0)})
    assert to_panel(years, Columns()).freq == "YS-JAN"
    quarters = pd.DataFrame({"quarter": [f"{2000 + i // 4}Q{i % 4 + 1}" for i in range(20)], "y": np.arange(20.0)})
    assert to_panel(quarters, Columns()).freq == "QS-JAN"


@pytest.mark.parametrize("freq", ["", "m", "ms", "0D", "2B", "W-JAN", "MS-JAN", "QS-MON", "-1D", "D-MON"])
def test_unknown_calendars_are_refused(freq):
    with pytest.raises(BadInput, match="freq must be a calendar such as"):
        Calendar.parse(freq)

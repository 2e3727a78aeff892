"""Bad input at the door: each is refused with the place and the way out."""

import numpy as np
import pandas as pd
import pytest

from ensemble_forecast.data import doctor
from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.files import read_table
from ensemble_forecast.data.frames import to_panel
from ensemble_forecast.errors import BadInput


def daily(n=20, **columns):
    """A sound long frame of one series."""
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=n), "y": np.sin(np.arange(n))})
    return frame.assign(**columns)


def changed(row, column, value, n=20, **columns):
    """A sound frame with one cell changed."""
    frame = daily(n, **columns)
    frame[column] = frame[column].astype(object)
    frame.loc[row, column] = value
    return frame


def panel(*frames):
    return pd.concat([frame.assign(unique_id=name) for name, frame in zip("AB", frames, strict=True)], ignore_index=True)


ZONED = [f"2024-01-{day:02d}T10:00:00{'+02:00' if day == 9 else '+01:00'}" for day in range(1, 21)]

BAD = {  # name: (frame, columns, what the message must say: the place, the finding, the way out)
    "a missing day": (daily().drop(index=7), {}, ("series 'y', row 8", "1 step missing between 2024-01-07 and 2024-01-09", "gaps='fill'")),
    "a missing day in a panel": (panel(daily(), daily().drop(index=[3, 4])), {}, ("series 'B', row 24", "2 steps missing", "gaps='mask'")),
    "a missing target": (changed(4, "y", np.nan), {}, ("row 5, column 'y'", "target is missing at 2024-01-05", "gaps='fill'")),
    "a missing past value": (changed(4, "x", np.nan, x=1.0), {}, ("row 5, column 'x'", "covariate is missing", "gaps='fill'")),
    "a missing known value": (changed(0, "x", np.nan, x=1.0), {"known": ("x",)}, ("row 1, column 'x'", "known covariate is missing", "gaps=")),
    "a late known value": (changed(0, "x", np.nan, x=1.0), {"known": ("x",), "gaps": "fill"}, ("row 1, column 'x'", "fill in its first values")),
    "infinity in the target": (changed(4, "y", np.inf), {"gaps": "fill"}, ("row 5, column 'y'", "infinity", "finite number")),
    "infinity in a covariate": (changed(6, "x", -np.inf, x=1.0), {}, ("row 7, column 'x'", "infinity", "leave the cell empty")),
    "text in the target": (changed(4, "y", "n.a."), {}, ("row 5, column 'y'", "'n.a.' is no number", "write a number")),
    "text in a covariate": (changed(5, "x", "closed", x=1.0), {}, ("row 6, column 'x'", "'closed' is no number", "leave the cell empty")),
    "no date in the stamps": (changed(5, "ds", "soon").astype({"ds": str}), {}, ("row 6, column 'ds'", "'soon' is no date", "2024-01-31")),
    "a missing stamp": (changed(5, "ds", pd.NaT), {}, ("row 6, column 'ds'", "stamp is missing", "remove the row")),
    "unsorted stamps": (daily().iloc[[0, 2, 1, *range(3, 20)]], {}, ("row 3, column 'ds'", "2024-01-02 comes after 2024-01-03", "doctor --fix")),
    "descending stamps": (daily()[::-1], {}, ("row 2, column 'ds'", "not sorted", "doctor --fix")),
    "a repeated stamp": (daily().iloc[[0, 1, 1, *range(2, 20)]], {}, ("column 'ds'", "2024-01-02 occurs more than once", "id column")),
    "an irregular stamp": (changed(5, "ds", pd.Timestamp("2024-01-06 07:00")), {}, ("row 6", "irregular", "move the row to 2024-01-06")),
    "mixed time zones": (daily(ds=ZONED), {}, ("row 9, column 'ds'", "mixed time zones", "in UTC")),
    "ambiguous dates": (
        daily(12, ds=[f"01/{month:02d}/2024" for month in range(1, 13)]),
        {},
        ("column 'ds'", "day first and month first", "2024-01-31"),
    ),
    "counted steps": (daily(ds=np.arange(20)), {}, ("column 'ds'", "is no date", "write dates")),
    "fractions of a second": (daily(ds=pd.date_range("2024", periods=20, freq="100ms")), {}, ("column 'ds'", "fractions", "round")),
    "a wrong century": (changed(0, "ds", pd.Timestamp("1924-01-01")), {"gaps": "fill"}, ("row 2", "steps are missing", "stamp is wrong")),
    "no stamps at all": (pd.DataFrame({"y": np.arange(9.0)}), {}, ("no column of stamps among y", "DatetimeIndex")),
    "no numbers": (daily()[["ds"]].assign(note="x"), {}, ("no column of numbers", "add a column 'y'")),
    "two possible targets": (daily()[["ds"]].assign(a=1.0, b=2.0), {}, ("could be the target: a, b", "name one")),
    "an unknown target": (daily(), {"target": "yy"}, ("column 'yy'", "target is missing", "did you mean 'y'?")),
    "an absent known covariate": (daily(), {"known": ("holiday",)}, ("column 'holiday'", "known covariate is missing", "add it")),
    "an absent past covariate": (daily(), {"past": ("price",)}, ("column 'price'", "past covariate is missing", "add it")),
    "an absent static covariate": (daily(), {"static": ("kind",)}, ("column 'kind'", "static covariate is missing", "add it")),
    "a known covariate of text": (
        daily(day="holiday"),
        {"known": ("day",)},
        ("column 'day'", "numbers are needed", "'holiday'", "write it as numbers"),
    ),
    "two roles by case": (daily(), {"target": "y", "known": ("Y",)}, ("column 'y'", "two roles", "name it once")),
    "a static that changes": (daily(kind=np.arange(20)), {"static": ("kind",)}, ("row 2, column 'kind'", "changes within", "one number per series")),
    "repeated names": (pd.concat([daily(), daily()[["y"]]], axis=1), {}, ("column 'y'", "two columns have this name", "rename")),
    "no rows": (daily().iloc[:0], {}, ("no rows", "at least one row")),
    "no observed target": (daily(y=np.nan), {"target": "y"}, ("column 'y'", "no target is observed", "fill in")),
    "a constant series": (daily(y=3.0), {}, ("series 'y'", "constant: all 20 values are 3", "a target that changes")),
    "a short series": (daily(3), {}, ("series 'y'", "too short: 3 observed steps, at least 5", "more history")),
    "one row": (daily(1), {}, ("column 'ds'", "calendar cannot be found", "freq")),
    "another calendar": (daily(), {"freq": "h"}, ("freq 'h' was given", "follow 'D'", "give freq 'D'")),
    "month ends for month starts": (daily(ds=pd.date_range("2020", periods=20, freq="ME")), {"freq": "MS"}, ("row 1", "'MS'", "give freq 'ME'")),
    "a series without name": (
        panel(daily(), daily()).assign(unique_id=["A"] * 39 + [None]),
        {},
        ("row 40, column 'unique_id'", "no name", "fill it in"),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_the_place_and_the_way_out(name):
    frame, columns, words = BAD[name]
    before = frame.copy()
    with pytest.raises(BadInput) as refusal:
        to_panel(frame, Columns(**columns))
    missing = [word for word in words if word not in str(refusal.value)]
    assert not missing, f"{refusal.value!s} does not say {missing}"
    pd.testing.assert_frame_equal(frame, before)
    assert str(doctor.examine(frame, Columns(**columns))[0]) in str(refusal.value)


MENDABLE = [
    *("a missing day", "a missing day in a panel", "a missing target", "a missing past value", "a missing known value", "a late known value"),
    *("infinity in the target", "infinity in a covariate", "text in the target", "text in a covariate", "no date in the stamps", "a missing stamp"),
    *("unsorted stamps", "descending stamps", "a repeated stamp", "an irregular stamp", "mixed time zones", "a static that changes"),
    *("repeated names", "a series without name"),
]


@pytest.mark.parametrize("name", MENDABLE)
def test_the_doctor_mends_what_can_be_mended_and_tells_it(name):
    frame, columns, _ = BAD[name]
    columns = Columns(**{**columns, "gaps": "error"})
    before = frame.copy()
    mended, changes = doctor.fix(frame, columns)
    assert doctor.examine(mended, columns) == []
    assert changes
    pd.testing.assert_frame_equal(frame, before)
    assert doctor.fix(mended, columns)[1] == []
    assert to_panel(mended, columns).n_series == mended.get("unique_id", pd.Series(["A"])).nunique()


def test_the_refusal_counts_the_other_problems():
    frame = panel(daily().drop(index=7), daily().drop(index=7))
    with pytest.raises(BadInput, match="and 1 more: run doctor"):
        to_panel(frame, Columns())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"target": "y", "known": ("y",)}, "'y' is named twice"),
        ({"gaps": "mend"}, "gaps must be one of error, mask, fill"),
        ({"freq": "fortnight"}, "freq must be a calendar such as"),
    ],
)
def test_impossible_settings_are_refused_at_birth(settings, words):
    with pytest.raises(BadInput, match=words):
        Columns(**settings)


def test_what_is_no_frame_is_refused():
    with pytest.raises(BadInput, match=r"must be a pandas DataFrame or Series; got ndarray"):
        to_panel(np.arange(9.0), Columns())


FILES = {
    "empty.csv": (b"", "is empty"),
    "blank.csv": (b"\n\n", "is empty"),
    "header.csv": (b"ds,y\n", "no rows"),
    "headless.csv": (b"1704067200,1.5,2,3\n1704153600,1.6,2,3\n", "put a header line first"),
    "ragged.csv": (b"ds,y\n2024-01-01,1\n2024-01-02,2,9\n", "is no regular table"),
    "picture.csv": (b"\x89PNG\x00\x01\x02", "is a binary file"),
    "book.csv": (b"PK\x03\x04rest", "Excel"),
    "false.parquet": (b"ds,y\n2024-01-01,1\n", "no parquet file"),
    "damaged.parquet": (b"PAR1 cut in the middle", "damaged parquet"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files_are_refused_by_name(tmp_path, name):
    content, words = FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=words) as refusal:
        read_table(tmp_path / name)
    assert str(tmp_path / name) in str(refusal.value)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"no file at .*nowhere\.csv; check the path"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(BadInput, match="is a folder; name the CSV"):
        read_table(tmp_path)

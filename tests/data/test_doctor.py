"""The doctor: what it lists, what it mends, what it leaves to the user."""

import numpy as np
import pandas as pd
import pytest

from ensemble_forecast.data import doctor
from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.files import read_table
from ensemble_forecast.data.frames import to_panel
from ensemble_forecast.data.problem import Problem
from ensemble_forecast.errors import BadInput


def daily(n=12, **columns):
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=n), "y": np.arange(n) ** 2.0} | columns)


def test_every_kind_of_problem_is_listed_with_its_place():
    frame = daily(x=1.0)
    frame.loc[3, "y"] = np.inf
    frame.loc[8, "x"] = np.nan
    frame = frame.drop(index=5).iloc[[1, 0, *range(2, 11), 10]]
    assert [(p.row, p.column, p.found) for p in doctor.examine(frame, Columns())] == [
        (2, "ds", "2024-01-01 comes after 2024-01-02: stamps are not sorted (1 steps back in time)"),
        (11, "ds", "2024-01-12 occurs more than once (1 rows too many)"),
        (4, "y", "infinity"),
        (6, "ds", "1 step missing between 2024-01-05 and 2024-01-07"),
        (8, "x", "the covariate is missing at 2024-01-09"),
    ]


def test_a_sound_file_has_no_problems(tmp_path):
    daily().to_csv(tmp_path / "data.csv", index=False)
    assert doctor.examine(read_table(tmp_path / "data.csv"), Columns()) == []
    assert doctor.examine(read_table(str(tmp_path / "data.csv")), Columns()) == []


def test_a_problem_reads_as_one_sentence():
    assert str(Problem("A", 3, "y", "infinity", "write a number")) == "series 'A', row 3, column 'y': infinity; write a number"
    assert str(Problem(None, None, None, "no rows", "add some")) == "no rows; add some"


def test_mending_sorts_converts_fills_and_keeps_the_last_of_conflicting_rows():
    frame = pd.DataFrame(
        {
            "date": ["05.01.2024", "01.01.2024", "02.01.2024", "02.01.2024", "02.01.2024", "07.01.2024", "20.01.2023"],
            "y": ["5", "1,000", "2", "2", "2,5", "7", None],
            "note": list("abcdefg"),
        }
    )
    mended, changes = doctor.fix(frame, Columns(freq="D"))
    assert mended.date.tolist() == pd.date_range("2024-01-01", periods=7).tolist()
    np.testing.assert_allclose(mended.y, [1, 2.5, 2.5, 2.5, 5, 5, 7])
    assert mended.note.fillna("").tolist() == ["b", "e", "", "", "a", "", "f"]
    assert changes == [
        "column 'date' converted to dates",
        "column 'y' converted to numbers",
        "rows sorted by stamp within each series",
        "2 rows with a repeated stamp removed (1 identical to the next one; of the others the last was kept)",
        "1 leading rows without target dropped",
        "3 missing steps inserted",
        "3 missing values of 'y' carried forward",
    ]


def test_rows_ahead_with_known_covariates_survive():
    frame = daily(holiday=1.0)
    frame.loc[9:, "y"] = np.nan
    mended, changes = doctor.fix(frame[::-1], Columns(target="y", known=("holiday",)))
    pd.testing.assert_frame_equal(mended, frame, check_dtype=False)
    assert changes == ["rows sorted by stamp within each series"]


def test_irregular_stamps_move_to_the_calendar():
    hours = pd.date_range("2024-01-01", periods=12, freq="h").to_series()
    hours.iloc[[3, 7]] += pd.to_timedelta([40, -70], unit="s")
    mended, changes = doctor.fix(pd.DataFrame({"ds": hours.to_numpy(), "y": np.arange(12.0)}), Columns())
    assert mended.ds.tolist() == pd.date_range("2024-01-01", periods=12, freq="h").tolist()
    assert changes == ["2 irregular stamps moved to the calendar 'h'"]


def test_middles_of_months_become_their_first_days():
    middle = pd.date_range("2024-01-01", periods=12, freq="MS") + pd.Timedelta(days=14)
    mended, _ = doctor.fix(pd.DataFrame({"ds": middle, "y": np.arange(12.0)}), Columns())
    assert mended.ds.tolist() == pd.date_range("2024-01-01", periods=12, freq="MS").tolist()


def test_mixed_zones_become_utc():
    stamps = [f"2024-03-{day:02d}T12:00:00+{'02' if day > 15 else '01'}:00" for day in range(10, 22)]
    mended, changes = doctor.fix(pd.DataFrame({"ds": stamps, "y": np.arange(12.0)}), Columns(freq="D"))
    assert set(mended.ds.dt.hour) == {11}
    assert any("mixed time zones" in change and "converted to UTC" in change for change in changes)


def test_a_fixed_file_is_read_again_without_problems(tmp_path):
    frame = pd.concat([daily().assign(unique_id=name) for name in "AB"])[::-1]
    mended, _ = doctor.fix(frame, Columns())
    mended.to_csv(tmp_path / "data.csv", index=False)
    assert doctor.examine(read_table(tmp_path / "data.csv"), Columns()) == []
    assert to_panel(mended, Columns()).n_series == 2


@pytest.mark.parametrize(
    ("frame", "columns", "words"),
    [
        (daily(), {"target": "z"}, "target is missing"),
        (daily(ds=[f"01/{month:02d}/2024" for month in range(1, 13)]), {}, "day first and month first"),
        (daily(), {"freq": "h"}, "freq 'h' was given"),
        (daily(1), {}, "calendar cannot be found"),
        (daily(y=np.nan), {"target": "y"}, "no row has a stamp and a target"),
    ],
)
def test_what_only_the_user_can_decide_is_refused(frame, columns, words):
    with pytest.raises(BadInput, match=words):
        doctor.fix(frame, Columns(**columns))


def test_constant_and_short_series_are_listed_but_not_changed():
    mended, changes = doctor.fix(daily(y=1.0), Columns())
    assert changes == []
    assert [problem.found for problem in doctor.examine(mended, Columns())] == ["the series is constant: all 12 values are 1"]

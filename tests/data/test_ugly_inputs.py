"""Sound but ugly input works: every case is the same twenty days (or another calendar) written in a way people write them."""

import datetime

import numpy as np
import pandas as pd
import pytest

from ensemble_forecast.data import doctor
from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.files import read_table
from ensemble_forecast.data.frames import to_panel

DAYS = pd.date_range("2024-01-05", periods=20)
VALUES = np.round(1000 + 500 * np.sin(np.arange(20)), 1)


def long(stamps=DAYS, values=VALUES, **columns):
    return pd.DataFrame({"ds": stamps, "y": values, **columns})


def written(style):
    return [f"{stamp:{style}}" for stamp in DAYS]


FRAMES = {
    "plain": long(),
    "other names": long().rename(columns={"ds": "Timestamp", "y": "value"}),
    "names in mixed case with blanks": long().rename(columns={"ds": " Date ", "y": "CLOSE"}),
    "an index of stamps": long().set_index("ds"),
    "an index of stamps without name": long().set_index("ds").rename_axis(None),
    "an index of text dates": long(written("%Y-%m-%d")).set_index("ds").rename_axis(None),
    "an index of periods": long(DAYS.to_period("D")).set_index("ds"),
    "a series, not a frame": long().set_index("ds")["y"],
    "an index of ids and stamps": long(unique_id="A").set_index(["unique_id", "ds"]),
    "extra text columns": long(source="exchange", note=None),
    "a symbol on every row": long(symbol="BTC/USDT"),
    "rows numbered by an id": long(id=np.arange(20)),
    "day first": long(written("%d/%m/%Y")),
    "day first with dots": long(written("%d.%m.%Y")),
    "month first": long(written("%m/%d/%Y")),
    "month first, afternoon clock": long(written("%m/%d/%Y") + pd.Series(" 12:00 AM", range(20))),
    "day first, two-digit years": long(written("%d-%m-%y")),
    "named months": long(written("%b %d, %Y")),
    "slashes": long(written("%Y/%m/%d")),
    "compact dates": long(written("%Y%m%d")),
    "compact dates as numbers": long([int(text) for text in written("%Y%m%d")]),
    "date objects": long([datetime.date(stamp.year, stamp.month, stamp.day) for stamp in DAYS]),
    "epochs in seconds": long(DAYS.to_numpy().astype("datetime64[s]").astype(np.int64)),
    "epochs in milliseconds": long(DAYS.to_numpy().astype("datetime64[ms]").astype(np.int64)),
    "epochs in milliseconds as decimals": long(DAYS.to_numpy().astype("datetime64[ms]").astype(float)),
    "UTC": long(DAYS.tz_localize("UTC")),
    "midnights of a zone": long(pd.date_range("2024-01-05", periods=20, tz="Europe/Berlin")),
    "a zone in text": long(written("%Y-%m-%dT%H:%M:%SZ")),
    "an offset in text": long(written("%Y-%m-%dT%H:%M:%S+05:30")),
    "stamps in milliseconds": long(DAYS.as_unit("ms")),
    "thousands separators": long(values=[f"{value:,.1f}" for value in VALUES]),
    "thousands and decimal comma": long(values=[f"{value:,.1f}".translate(str.maketrans(",.", ".,")) for value in VALUES]),
    "blanks between thousands": long(values=[f"{value:,.1f}".replace(",", "\u202f") for value in VALUES]),
    "currency signs": long(values=[f"$ {value:,.1f}" for value in VALUES]),
    "objects": long(values=pd.Series(list(VALUES), dtype=object)),
    "Arrow columns": long().astype({"ds": "timestamp[ns][pyarrow]", "y": "double[pyarrow]"}),
    "Arrow days": long().astype({"ds": "date32[day][pyarrow]"}),
    "names in two levels": pd.DataFrame(VALUES[:, None], DAYS, pd.MultiIndex.from_tuples([("Close", "BTC-USD")])),
    "nullable numbers": long(values=pd.array(VALUES, dtype="Float64")),
    "leading rows without target": long(
        pd.date_range("2024-01-01", periods=24), np.concatenate([[np.nan] * 4, VALUES])
    ),
    "trailing rows without target": long(pd.date_range("2024-01-05", periods=23), np.concatenate([VALUES, [np.nan] * 3])),
    "descending, through the doctor": doctor.fix(long()[::-1], Columns())[0],
    "repeated rows, through the doctor": doctor.fix(long().iloc[[0, 0, *range(20), 19]], Columns())[0],
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMES)
def test_ugly_frames_are_understood(name):
    panel = to_panel(FRAMES[name], Columns())
    assert panel.n_series == 1
    np.testing.assert_array_equal(panel.y, VALUES)
    assert panel.freq == "D"
    assert (panel.stamps(0, 0, 20) == DAYS).all()
    assert panel.past.shape == (20, 0)


def rows(delimiter, date="%Y-%m-%d", number=str, header="ds{d}y"):
    lines = [f"{stamp:{date}}{delimiter}{number(value)}" for stamp, value in zip(DAYS, VALUES, strict=True)]
    return "\n".join([header.format(d=delimiter), *lines]) + "\n"


FILES = {
    "comma": rows(",").encode(),
    "semicolon and decimal comma": rows(";", number=lambda value: f"{value:.1f}".replace(".", ",")).encode(),
    "semicolon, decimal comma, grouped": rows(";", "%d.%m.%Y", lambda value: f"{value:,.1f}".translate(str.maketrans(",.", ".,"))).encode(),
    "tab": rows("\t").encode(),
    "byte-order mark": rows(",").encode("utf-8-sig"),
    "UTF-16, as spreadsheets write it": rows("\t").encode("utf-16"),
    "carriage returns": rows(",").replace("\n", "\r\n").encode(),
    "quoted cells": rows(",", '"%Y-%m-%d"', '"{:,.1f}"'.format, '"ds"{d}"y"').encode(),
    "blanks after the delimiter": rows(",", number=" {}".format, header="ds{d} y").encode(),
    "a delimiter at the end of every line": rows(",", number="{},".format, header="ds{d}y,").encode(),
    "the index written by pandas": long().to_csv().encode(),
    "no name over the dates": rows(",", header="{d}y").encode(),
    "empty lines": ("\n" + rows(",").replace("\n", "\n\n")).encode(),
    "Western code page": rows(",", header="ds{d}y").replace("ds,y", "ds,Schlu\u00dfkurs").encode("cp1252"),
}


@pytest.mark.parametrize("name", FILES)
def test_ugly_files_are_understood(tmp_path, name):
    (tmp_path / "data.csv").write_bytes(FILES[name])
    frame = read_table(tmp_path / "data.csv")
    target = next((column for column in ("y", "Schlu\u00dfkurs") if column in frame.columns), None)
    panel = to_panel(frame, Columns(target=target))
    np.testing.assert_array_equal(panel.y, VALUES)
    assert (panel.stamps(0, 0, 20) == DAYS).all()


@pytest.mark.parametrize("index", [False, True])
def test_parquet_is_read_with_and_without_its_index(tmp_path, index):
    (long().set_index("ds") if index else long()).to_parquet(tmp_path / "data.parquet")
    np.testing.assert_array_equal(to_panel(read_table(tmp_path / "data.parquet"), Columns()).y, VALUES)


def test_codes_with_leading_zeros_stay_names(tmp_path):
    frame = pd.concat([long(unique_id="007"), long(unique_id="7")])
    frame.to_csv(tmp_path / "data.csv", index=False)
    assert to_panel(read_table(tmp_path / "data.csv"), Columns()).ids == ("007", "7")


def test_a_decimal_comma_in_one_column_decides_for_the_file(tmp_path):
    lines = ["ds;y;x", *(f"{stamp:%Y-%m-%d};{i}.500;{i},25" for i, stamp in enumerate(DAYS, start=1))]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    panel = to_panel(read_table(tmp_path / "data.csv"), Columns())
    np.testing.assert_array_equal(panel.y, 1000.0 * np.arange(1, 21) + 500)
    np.testing.assert_array_equal(panel.past[:, 0], np.arange(1, 21) + 0.25)


def test_a_month_beside_the_stamps_is_a_covariate():
    panel = to_panel(long(month=DAYS.month).rename(columns={"ds": "opened"}), Columns())
    assert panel.past_names == ("month",)


def test_names_of_different_types_that_read_alike_are_one_series():
    frame = pd.concat([long()[:10].assign(unique_id=7), long()[10:].assign(unique_id="7")])
    assert to_panel(frame, Columns()).ids == ("7",)


def test_past_covariates_after_the_last_target_are_hidden():
    frame = long(x=1.0, k=2.0)
    frame.loc[15:, "y"] = np.nan
    panel = to_panel(frame, Columns(target="y", known=("k",)))
    assert np.isnan(panel.past[15:]).all()
    assert np.isfinite(panel.known).all()


def test_integers_and_booleans_are_numbers():
    panel = to_panel(long(values=np.arange(20), promo=[True, False] * 10, open_=["true", "false"] * 10), Columns())
    assert panel.y.dtype == np.float64
    np.testing.assert_array_equal(panel.past, np.tile([[1.0, 1.0], [0.0, 0.0]], (10, 1)))


def test_interleaved_series_become_a_panel_in_order_of_appearance():
    both = pd.concat([long(unique_id="W1@0"), long(values=2 * VALUES, unique_id="A@1")]).sort_values("ds", kind="stable")
    panel = to_panel(both, Columns())
    assert panel.ids == ("W1@0", "A@1")
    np.testing.assert_array_equal(panel.y, np.concatenate([VALUES, 2 * VALUES]))


def test_a_time_zone_is_converted_to_utc_and_told():
    told = []
    hours = pd.date_range("2024-03-30", periods=48, freq="h", tz="Europe/Berlin")  # clocks change on the 31st
    panel = to_panel(pd.DataFrame({"ds": hours, "y": np.arange(48.0)}), Columns(), told.append)
    assert (panel.stamps(0, 0, 48) == hours.tz_convert("UTC").tz_localize(None)).all()
    assert told == ["stamps converted from time zone Europe/Berlin to UTC"]


@pytest.mark.parametrize(("offset", "hours"), [("Z", 0), (" UTC", 0), ("+02:00", 2), ("-0530", -5.5), ("+01", 1)])
def test_offsets_in_text_become_utc(offset, hours):
    frame = long([f"{text}{offset}" for text in written("%Y-%m-%d 09:15:00")])
    first = to_panel(frame, Columns()).stamps(0, 0, 1)[0]
    assert first == pd.Timestamp("2024-01-05 09:15") - pd.Timedelta(hours=hours)


def test_stamps_at_the_last_millisecond_of_each_day_are_daily():
    panel = to_panel(long(DAYS + pd.Timedelta("23:59:59.999")), Columns())
    assert (panel.freq, panel.stamps(0, 0, 1)[0]) == ("D", pd.Timestamp("2024-01-05 23:59:59"))


def test_known_covariates_ahead_are_kept_up_to_the_first_incomplete_row():
    told = []
    frame = long(holiday=np.arange(20) % 7, price=np.arange(20.0))
    frame.loc[15:, "y"] = np.nan
    frame.loc[19, "holiday"] = np.nan
    panel = to_panel(frame, Columns(target="y", known=("Holiday",)), told.append)
    assert panel.lengths_S.tolist() == [15]
    assert len(panel.y) == 19
    np.testing.assert_array_equal(panel.known[:, 0], np.arange(19) % 7)
    assert panel.past_names == ("price",)
    assert told == ["1 trailing rows without target or without all known covariates dropped"]


def test_everything_left_out_or_dropped_is_told():
    told = []
    empty = long(values=np.nan, unique_id="empty", note="x")
    flat = long(values=1.0, unique_id="flat", note="x")
    panel = to_panel(pd.concat([long(unique_id="A", note="x"), empty, flat]), Columns(), told.append)
    assert panel.ids == ("A", "flat")
    assert told == [
        "columns left out because they are no numbers or were not asked for: note",
        "1 series without any observed target left out, the first is 'empty'",
        "1 of 2 series are constant (the first: 'flat'); the naive serves them",
    ]

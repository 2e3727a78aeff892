"""Panel from frames: gaps, covariates, the way back, and the hash that tells whether data are the same."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ensemble_forecast.data import samples
from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.frames import fingerprint, settle, to_frame, to_panel
from ensemble_forecast.errors import BadInput


def several(seed=0, freq="h"):
    """Three series of different length with past, known and static covariates; the known ones reach three steps ahead."""
    rng = np.random.default_rng(seed)
    frames = []
    for name, size in (("B", 30), ("A", 20), ("C", 12)):
        y = rng.normal(size=size)
        y[-3:] = np.nan
        x = rng.normal(size=size)
        x[-3:] = np.nan
        stamps = pd.date_range("2024-01-01", periods=size, freq=freq)
        frames.append(pd.DataFrame({"unique_id": name, "ds": stamps, "y": y, "x": x, "k": rng.normal(size=size), "kind": float(size)}))
    return pd.concat(frames, ignore_index=True)


ROLES = {"known": ("k",), "static": ("kind",)}


def holes(frame, rows):
    return frame.drop(index=rows).reset_index(drop=True)


def slowly_filled(frame, how):
    """Obvious twin of gaps="fill" and "mask": one series at a time, by pandas."""
    parts = []
    for name, part in frame.groupby("unique_id", sort=False):
        last = part[part.y.notna()].ds.max()
        whole = part.set_index("ds").reindex(pd.date_range(part.ds.min(), part.ds.max(), freq="h"))
        if how == "fill":
            whole.loc[:last, "y"] = whole.loc[:last, "y"].ffill()
        whole.loc[:last, "x"] = whole.loc[:last, "x"].ffill()
        whole["k"] = whole["k"].ffill()
        parts.append(whole.assign(unique_id=name))
    return pd.concat(parts)


@pytest.mark.parametrize("gaps", ["mask", "fill"])
def test_gaps_are_treated_as_by_pandas_one_series_at_a_time(gaps):
    frame = several()
    frame.loc[[4, 5, 33], ["y", "x"]] = np.nan
    frame = holes(frame, [2, 10, 11, 40, 55, 56])
    told = []
    panel = to_panel(frame, Columns(gaps=gaps, **ROLES), told.append)
    expected = slowly_filled(frame, gaps)
    np.testing.assert_array_equal(panel.offsets, [0, 30, 50, 62])
    np.testing.assert_array_equal(panel.lengths_S, [27, 17, 9])
    np.testing.assert_allclose(panel.y, expected.y, rtol=1e-12)
    np.testing.assert_array_equal(panel.past[:, 0], expected.x)
    np.testing.assert_array_equal(panel.known[:, 0], expected.k)
    np.testing.assert_array_equal(panel.static[:, 0], [30.0, 20.0, 12.0])
    assert told[0] == f"6 missing steps inserted (gaps='{gaps}')"
    assert told[1] == ("9 missing targets kept as missing" if gaps == "mask" else "9 missing values of 'y' carried forward")


def test_a_past_covariate_may_begin_late_and_stays_missing_there():
    frame = several()[:27].assign(k=lambda f: f.k.where(f.index >= 5))
    panel = to_panel(frame, Columns(past=("k",)))
    np.testing.assert_array_equal(panel.past[:, 0], frame.k)


def test_nothing_is_filled_with_a_later_covariate():
    frame = several()
    frame.loc[0:3, "x"] = np.nan
    panel = to_panel(frame, Columns(gaps="fill", **ROLES))
    assert np.isnan(panel.past[:4, 0]).all()
    assert np.isfinite(panel.past[4, 0])


def test_frame_to_panel_to_frame_to_panel_changes_nothing():
    frame = several()
    panel = to_panel(frame, Columns(**ROLES))
    back = to_frame(panel)
    pd.testing.assert_frame_equal(back[frame.columns], frame, check_dtype=False)
    again = to_panel(back, Columns(**ROLES))
    assert fingerprint(again) == fingerprint(panel)
    for field in dataclasses.fields(panel):
        np.testing.assert_array_equal(getattr(panel, field.name), getattr(again, field.name))


def test_reading_leaves_the_frame_alone_and_the_panel_does_not_share_its_memory():
    frame = several()
    before = frame.copy()
    panel = to_panel(frame, Columns(gaps="fill", **ROLES))
    pd.testing.assert_frame_equal(frame, before)
    kept = panel.y.copy()
    frame["y"] = 0.0
    np.testing.assert_array_equal(panel.y, kept)


def test_settled_columns_read_newer_frames_in_the_same_way():
    frame = several().rename(columns={"y": "Close"})
    columns = Columns(**ROLES)
    panel = to_panel(frame, columns)
    settled = settle(frame, columns, panel)
    assert settled == Columns(target="Close", past=("x",), known=("k",), static=("kind",), freq="h")
    newer = frame.assign(y=1.0, other=2.0)[[*frame.columns[::-1], "y", "other"]]
    assert fingerprint(to_panel(newer, settled)) == fingerprint(panel)
    one_row = newer[newer.ds == newer.ds.min()].head(1)
    assert to_panel(one_row, settled, new=True).lengths_S.tolist() == [1]


def test_new_history_may_be_short_or_constant():
    frame = pd.DataFrame({"ds": pd.date_range("2024", periods=3), "y": 1.0})
    assert to_panel(frame, Columns(freq="D"), new=True).lengths_S.tolist() == [3]
    with pytest.raises(BadInput, match="too short"):
        to_panel(frame, Columns(freq="D"))


def test_the_fingerprint_ignores_what_comes_after_and_nothing_else():
    frame = several()
    columns = Columns(**ROLES)
    panel = to_panel(frame, columns)
    until_S = panel.ends_S - 2
    fixed = fingerprint(panel, until_S)
    later = frame.copy()
    later.loc[frame.groupby("unique_id").cumcount(ascending=False) < 5, ["y", "x", "k"]] += 1.0
    assert fingerprint(to_panel(later, columns), until_S) == fixed
    assert fingerprint(to_panel(later, columns)) != fingerprint(panel)
    row = int(panel.offsets[1] + until_S[1])  # the last row that counts of the second series
    for column in ("y", "x", "k"):
        other = frame.copy()
        other.loc[row, column] += 1e-9
        assert fingerprint(to_panel(other, columns), until_S) != fixed
    for other in (frame.replace({"unique_id": {"A": "a"}}), frame.rename(columns={"x": "z"}), frame.assign(ds=frame.ds + pd.Timedelta(days=1))):
        assert fingerprint(to_panel(other, columns), until_S) != fixed


def test_the_fingerprint_is_the_same_on_every_machine():
    panel = to_panel(pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=6), "y": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]}), Columns())
    assert fingerprint(panel) == "43e0de2c1115f14268843c609079405d83178536ab4798ac21dd1419112e45e4"


def test_a_panel_of_many_series_keeps_every_one():
    n_series, size = 400, 50
    ids = np.repeat([f"W{i}@0" for i in range(n_series)], size)
    stamps = np.tile(pd.date_range("2000-01-02", periods=size, freq="W-SUN").to_numpy(), n_series)
    values = np.random.default_rng(0).normal(size=n_series * size)
    frame = pd.DataFrame({"unique_id": ids, "ds": stamps, "y": values}).sort_values("ds", kind="stable")
    panel = to_panel(frame, Columns(freq="W", gaps="fill"))
    assert panel.n_series == n_series
    np.testing.assert_array_equal(panel.values(7), values[7 * size : 8 * size])


def test_the_sample_is_whole_and_sound():
    candles = samples.btc_usd_daily()
    assert list(candles.columns) == ["open", "high", "low", "close", "volume"]
    assert candles.index.name == "date"
    assert (candles.index[0], candles.index[-1]) == (pd.Timestamp("2022-01-01"), pd.Timestamp("2025-04-11"))
    panel = to_panel(candles, Columns())
    assert (panel.ids, panel.freq, len(panel.y)) == (("close",), "D", 1197)
    assert panel.past_names == ("open", "high", "low", "volume")
    assert (candles.high >= candles[["open", "close", "low"]].max(axis=1)).all()
    assert (candles.low <= candles[["open", "close"]].min(axis=1)).all()

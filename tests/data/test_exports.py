"""Candles as exchanges and portals write them: all are read as the same candles."""

import numpy as np
import pandas as pd
import pytest

from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.files import read_table
from ensemble_forecast.data.frames import to_panel
from ensemble_forecast.errors import BadInput

DAYS = pd.date_range("2024-01-01", periods=40)
_rng = np.random.default_rng(0)
CLOSE = np.round(42_000 * np.exp(np.cumsum(_rng.normal(0, 0.02, 40))), 2)
OPEN = np.round(np.concatenate([[42_000.0], CLOSE[:-1]]), 2)
HIGH, LOW, VOLUME = np.round(np.maximum(OPEN, CLOSE) + 50, 2), np.round(np.minimum(OPEN, CLOSE) - 50, 2), np.round(_rng.uniform(1e3, 5e4, 40), 2)
ROWS = list(zip(DAYS, OPEN.tolist(), HIGH.tolist(), LOW.tolist(), CLOSE.tolist(), VOLUME.tolist(), strict=True))


def seconds(day):
    return int(day.timestamp())


def lines(write, *, newest_first=False):
    return "".join(f"{write(*row)}\n" for row in (reversed(ROWS) if newest_first else ROWS))


def klines(unit):
    return lambda d, o, h, low, c, v: (
        f"{seconds(d) * unit},{o},{h},{low},{c},{v},{(seconds(d) + 86_400) * unit - 1},{v * c},{int(v)},{v / 2},{v * c / 2},0"
    )


def investing(d, o, h, low, c, v):
    return f'"{d:%m/%d/%Y}","{c:,}","{o:,}","{h:,}","{low:,}","{v / 1000:.5f}K","{100 * (c / o - 1):.2f}%"'


def coin_market_cap(d, o, h, low, c, v):
    opened, highest, lowest, closed = (f'"{d:%Y-%m-%d}T{clock}Z"' for clock in ("00:00:00.000", "12:00:00.000", "10:00:00.000", "23:59:59.999"))
    return f'{opened};{closed};{highest};{lowest};"2781";{o};{h};{low};{c};{v};{c * 1.9e7};{closed}'


BINANCE_HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"
CDD = "https://www.CryptoDataDownload.com\n"
FILES = {
    "yahoo": "Date,Open,High,Low,Close,Adj Close,Volume\n" + lines(lambda d, o, h, low, c, v: f"{d:%Y-%m-%d},{o},{h},{low},{c},{c},{v}"),
    "yfinance": "Price,Close,High,Low,Open,Volume\nTicker,BTC-USD,BTC-USD,BTC-USD,BTC-USD,BTC-USD\nDate,,,,,\n"
    + lines(lambda d, o, h, low, c, v: f"{d:%Y-%m-%d},{c},{h},{low},{o},{v}"),
    "binance": lines(klines(1000)),
    "binance in microseconds": lines(klines(1_000_000)),
    "binance with a header": BINANCE_HEADER + lines(klines(1000)),
    "kraken": lines(lambda d, o, h, low, c, v: f"{seconds(d)},{o},{h},{low},{c},{v},{int(v)}"),
    "coinbase": "time,low,high,open,close,volume\n" + lines(lambda d, o, h, low, c, v: f"{seconds(d)},{low},{h},{o},{c},{v}", newest_first=True),
    "cryptodatadownload": f"{CDD}unix,date,symbol,open,high,low,close,Volume BTC,volume\n"
    + lines(lambda d, o, h, low, c, v: f"{seconds(d)},{d:%Y-%m-%d} 00:00:00,BTC/USD,{o},{h},{low},{c},1,{v}", newest_first=True),
    "investing": '\ufeff"Date","Price","Open","High","Low","Vol.","Change %"\n' + lines(investing, newest_first=True),
    "coinmarketcap": "timeOpen;timeClose;timeHigh;timeLow;name;open;high;low;close;volume;marketCap;timestamp\n"
    + lines(coin_market_cap, newest_first=True),
    "tradingview": "time,open,high,low,close,Volume\n" + lines(lambda d, o, h, low, c, v: f"{d:%Y-%m-%d}T00:00:00Z,{o},{h},{low},{c},{v}"),
}


def written(folder, text):
    path = folder / "export.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", FILES)
def test_every_export_is_read_as_the_same_candles(name, tmp_path):
    panel = to_panel(read_table(written(tmp_path, FILES[name])), Columns())
    assert panel.freq == "D"
    assert panel.stamps(0, 0, 1)[0] == DAYS[0]
    np.testing.assert_allclose(panel.y, CLOSE)
    column = {name.lower(): panel.past[:, place] for place, name in enumerate(panel.past_names)}
    for part, values in {"open": OPEN, "high": HIGH, "low": LOW, "volume": VOLUME}.items():
        np.testing.assert_allclose(column[part], values)
    assert not {"ignore", "close_time", "unix", "timestamp"} & set(column)


def test_a_dash_is_no_volume(tmp_path):
    text = FILES["investing"].replace(f'"{VOLUME[3] / 1000:.5f}K"', '"-"')
    table = read_table(written(tmp_path, text))
    assert np.flatnonzero(table["volume"].isna()).tolist() == [3]


def test_other_files_without_a_header_are_refused_still(tmp_path):
    with pytest.raises(BadInput, match="put a header line first"):
        read_table(written(tmp_path, "1,2,3\n4,5,6\n"))
    with pytest.raises(BadInput, match="put a header line first"):
        read_table(written(tmp_path, "17,1,2,3,4,5,6\n18,1,2,3,4,5,6\n"))


def test_an_unknown_file_keeps_its_order_and_its_names(tmp_path):
    table = read_table(written(tmp_path, "Date,Price\n2024-01-02,1\n2024-01-01,2\n"))
    assert list(table) == ["Date", "Price"]
    assert table["Price"].tolist() == [1, 2]

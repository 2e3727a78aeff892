"""Candles from a fake exchange over HTTP, spoken to by ccxt itself."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import ccxt
import pandas as pd
import pytest
from commands import typed

from ensemble_forecast.data import exchanges
from ensemble_forecast.data.exchanges import CandleSource, read_candles
from ensemble_forecast.errors import BadInput, MissingPackage, Unfinished

DAY_S = 86_400
FIRST = pd.Timestamp("2012-03-01")
SOURCE = "bitstamp:BTC/USD:1d"
MARKET = {
    "name": "BTC/USD", "market_symbol": "btcusd", "base_currency": "BTC", "base_decimals": 8, "counter_currency": "USD", "counter_decimals": 0,
    "minimum_order_value": "10", "trading": "Enabled", "instant_order_counter_decimals": 2, "instant_and_market_orders": "Enabled",
    "description": "Bitcoin / U.S. dollar", "market_type": "SPOT",
}  # fmt: skip


class FakeExchange(ThreadingHTTPServer):
    """Speaks as Bitstamp does: daily candles from FIRST up to a clock of its own, at most 300 at a time."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.now = FIRST + pd.Timedelta(days=1500, hours=7)
        self.missing, self.failures, self.refuses, self.asked = set(), 0, False, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/api"

    def candles(self, start, end, limit):
        first = int(FIRST.timestamp())
        begin = max(first, -(-start // DAY_S) * DAY_S)
        stamps = range(begin, min(end, int(self.now.timestamp())) + 1, DAY_S)
        open_ones = [stamp for stamp in stamps if (stamp - first) // DAY_S not in self.missing][: min(limit, 300)]
        return [candle((stamp - first) // DAY_S, stamp) for stamp in open_ones]


def candle(day, stamp):
    return {"timestamp": str(stamp), "open": str(100 + day), "high": str(102 + day), "low": str(99 + day), "close": str(101 + day), "volume": "5.5"}


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        asked, fake = urlparse(self.path), self.server
        fake.asked.append(asked.path)
        if fake.failures > 0:
            fake.failures -= 1
            return self.say("<html>Service Unavailable</html>", 503)
        if "ohlc" not in asked.path:
            return self.say([MARKET])
        if fake.refuses:
            return self.say({"status": "error", "reason": "not in your country"})
        query = {name: int(values[0]) for name, values in parse_qs(asked.query).items()}
        return self.say({"data": {"pair": "BTC/USD", "ohlc": fake.candles(query["start"], query["end"], query["limit"])}})

    def say(self, content, status=200):
        self.send_response(status)
        self.end_headers()
        self.wfile.write((content if isinstance(content, str) else json.dumps(content)).encode())

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def fake(monkeypatch, tmp_path):
    exchange = FakeExchange()

    def connect(_):
        client = ccxt.bitstamp({"enableRateLimit": False, "urls": {"api": {"public": exchange.url, "private": exchange.url}}})
        client.milliseconds = lambda: int(exchange.now.timestamp() * 1000)
        return client

    monkeypatch.setattr(exchanges, "connect", connect)
    monkeypatch.setattr(exchanges, "PATIENCE_S", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield exchange
    exchange.shutdown()
    exchange.server_close()


def days(frame):
    return ((frame["ds"] - FIRST) // pd.Timedelta(days=1)).tolist()


def test_all_complete_candles_come_page_by_page(fake):
    told = []
    frame = read_candles(SOURCE, told.append)
    assert list(frame) == exchanges.COLUMNS
    assert days(frame) == list(range(1500)), "the day that is still open is left out"
    assert frame.iloc[7].tolist()[1:] == [107.0, 109.0, 106.0, 108.0, 5.5]
    assert sum("ohlc" in path for path in fake.asked) >= 5
    assert "1500 new candles, 1500 in all" in told[-1]
    assert "no gaps" in told[-1]


def test_the_next_call_asks_only_for_what_is_new(fake):
    read_candles(SOURCE)
    fake.now += pd.Timedelta(days=3)
    fake.asked.clear()
    assert days(read_candles(SOURCE)) == list(range(1503))
    assert sum("ohlc" in path for path in fake.asked) == 1


def test_a_first_day_is_kept_to(fake):
    frame = read_candles(f"{SOURCE}:2015-01-01")
    assert frame["ds"].iloc[0] == pd.Timestamp("2015-01-01")
    assert days(frame)[-1] == 1499


def test_gaps_are_told_and_gone_past(fake):
    fake.missing, told = {*range(400, 1450), 20}, []
    frame = read_candles(SOURCE, told.append)
    assert days(frame) == [*range(20), *range(21, 400), *range(1450, 1500)]
    assert "1051 missing, the most (1050) before 2016-02-19" in told[-1]


def test_a_busy_exchange_is_asked_again(fake):
    fake.failures, told = 3, []
    assert len(read_candles(SOURCE, told.append)) == 1500
    assert sum("trying again" in line for line in told) == 3


def test_without_the_exchange_what_was_downloaded_before_serves(fake):
    before, told = read_candles(SOURCE), []
    fake.failures = 1000
    pd.testing.assert_frame_equal(read_candles(SOURCE, told.append), before)
    assert "going on with the 1500 candles downloaded before, up to 2016-04-08" in told[-1]


def test_without_the_exchange_and_without_a_cache_it_names_the_alternatives(fake):
    fake.failures = 1000
    with pytest.raises(Unfinished, match=r"bitstamp cannot be reached .* take --study btc"):
        read_candles(SOURCE)


def test_what_the_exchange_refuses_is_passed_on(fake):
    fake.refuses = True
    with pytest.raises(BadInput, match=r"bitstamp refuses .*not in your country"):
        read_candles(SOURCE)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "is written ccxt:EXCHANGE:SYMBOL:TIMEFRAME"),
        ("bitstamp:BTC/USD", "is written ccxt:EXCHANGE:SYMBOL:TIMEFRAME"),
        ("bitstamp:BTC/USD:1y", "is written ccxt:EXCHANGE:SYMBOL:TIMEFRAME"),
        ("bitstamp:BTC/USDX:1d", "no symbol 'BTC/USDX'; did you mean 'BTC/USD'"),
        ("bitstamp:BTC/USD:7m", "no candles of 7m; it has 1m, 3m"),
    ],
)
def test_what_does_not_exist_is_refused(source, said, fake):
    with pytest.raises(BadInput, match=said):
        read_candles(source)


def test_an_unknown_exchange_is_refused_with_the_nearest_one():
    with pytest.raises(BadInput, match="did you mean 'bitstamp'"):
        exchanges.connect("bitstamb")


def test_symbols_of_futures_hold_a_colon_too():
    parsed = CandleSource.parse("binance:BTC/USDT:USDT:1h:2023-01-01")
    assert (parsed.exchange, parsed.symbol, parsed.timeframe, parsed.since) == ("binance", "BTC/USDT:USDT", "1h", "2023-01-01")
    assert parsed.cache.name == "binance-BTC-USDT-USDT-1h-2023-01-01.parquet"


def test_without_the_package_it_says_which_extra_to_install(monkeypatch):
    monkeypatch.setattr(exchanges, "find_spec", lambda _: None)
    with pytest.raises(MissingPackage, match=r"ensemble-forecast\[market\]"):
        read_candles(SOURCE)


def test_a_study_reads_candles_from_an_exchange(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ("--data", f"ccxt:{SOURCE}", "--horizon", 3, "--families", "naive,drift", "--budget", "15s", "--trials", 2)
    assert typed("search", "--study", "exchange", *arguments) == 0
    assert "naive-0001" in capsys.readouterr().out

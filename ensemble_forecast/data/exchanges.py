"""Candles from an exchange through ccxt: page by page, kept in a cache that the next call continues.

A source is written ``ccxt:EXCHANGE:SYMBOL:TIMEFRAME``, such as ``ccxt:binance:BTC/USDT:1d``, with an optional first day:
``ccxt:binance:BTC/USDT:1h:2023-01-01``; without one it is 2010, but never more than 20,000 candles back. Stamps are UTC and name the beginning of a
candle; the one that is still open is left out.
"""

import importlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, Self, TypeVar

import pandas as pd

from ensemble_forecast import atomic
from ensemble_forecast.data.table import Log
from ensemble_forecast.errors import BadInput, MissingPackage, Unfinished
from ensemble_forecast.registry import did_you_mean

COLUMNS = ["ds", "open", "high", "low", "close", "volume"]
FIRST_DAY, MOST = "2010-01-01", 20_000  # where a download begins unless a first day is named: never so many candles back
PAGE = 1000  # candles asked for at a time; an exchange may give fewer
ATTEMPTS, PATIENCE_S = 5, 1.0  # tries of one request, and the wait before the second; it doubles
ELSEWHERE = "name a file of candles as the source, or take --study btc, which has its data with it"

Row = list[float]
T = TypeVar("T")


@dataclass(frozen=True)
class CandleSource:
    """What to download."""

    exchange: str
    symbol: str
    timeframe: str
    since: str | None

    @classmethod
    def parse(cls, what: str) -> Self:
        """Read what follows the first colon of a source.

        Raises
        ------
        BadInput
            When it is not written as the module says.
        """
        match = re.fullmatch(r"(\w+):(.+?):(\d+[smhdwM])(?::(\d{4}-\d\d-\d\d))?", what)
        if match is None:
            raise BadInput(f"a source of candles is written ccxt:EXCHANGE:SYMBOL:TIMEFRAME, such as ccxt:binance:BTC/USDT:1d; got {f'ccxt:{what}'!r}")
        return cls(*match.groups())

    @property
    def cache(self) -> Path:
        """File that keeps what was downloaded, below XDG_CACHE_HOME."""
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        name = re.sub(r"\W+", "-", f"{self.exchange}-{self.symbol}-{self.timeframe}" + (f"-{self.since}" if self.since else ""))
        return home / "ensemble_forecast" / "candles" / f"{name}.parquet"


def read_candles(what: str = "", log: Log = lambda _: None) -> pd.DataFrame:
    """Return all candles that are complete by now; those in the cache are not asked for again.

    Parameters
    ----------
    what
        ``EXCHANGE:SYMBOL:TIMEFRAME``, and on request ``:FIRST_DAY``.

    Returns
    -------
    DataFrame with ds (UTC), open, high, low, close and volume, oldest first.

    Raises
    ------
    MissingPackage
        When ccxt is not installed.
    BadInput
        When the exchange, the symbol or the timeframe does not exist, or the exchange refuses.
    Unfinished
        When the exchange cannot be reached and nothing is in the cache.
    """
    wanted = CandleSource.parse(what)
    if find_spec("ccxt") is None:
        raise MissingPackage(f"source 'ccxt:{what}' needs ccxt; install ensemble-forecast[market], or {ELSEWHERE}")
    errors = importlib.import_module("ccxt.base.errors")
    known = pd.read_parquet(wanted.cache) if wanted.cache.exists() else pd.DataFrame(columns=COLUMNS)
    try:
        frame = _downloaded(wanted, known, errors, log)
    except errors.NetworkError as error:
        reached = f"{wanted.exchange} cannot be reached ({_first_line(error)})"
        if known.empty:
            raise Unfinished(f"{reached}, and nothing of {wanted.symbol} was downloaded before: try again later, {ELSEWHERE}") from error
        log(f"{reached}: going on with the {len(known)} candles downloaded before, up to {known['ds'].iloc[-1]}")
        return known
    except errors.ExchangeError as error:
        raise BadInput(f"{wanted.exchange} refuses to give candles of {wanted.symbol} ({_first_line(error)}); {ELSEWHERE}") from error
    if frame.empty:
        raise BadInput(f"{wanted.exchange} has no candles of {wanted.symbol} in {wanted.timeframe}; choose another timeframe or first day")
    if len(frame) > len(known):
        buffer = BytesIO()
        frame.to_parquet(buffer, index=False)
        atomic.write_bytes(wanted.cache, buffer.getvalue())
    log(
        f"{wanted.exchange} {wanted.symbol}: {len(frame) - len(known)} new candles, {len(frame)} in all, up to {frame['ds'].iloc[-1]}; {_gaps(frame)}"
    )
    return frame


def connect(exchange: str) -> Any:
    """Make a client that keeps the exchange's rate limits; asks nothing yet.

    Raises
    ------
    BadInput
        When ccxt knows no such exchange.
    """
    ccxt = importlib.import_module("ccxt")
    if exchange not in ccxt.exchanges:
        raise BadInput(f"ccxt knows no exchange {exchange!r}; {did_you_mean(exchange, ccxt.exchanges)}")
    return getattr(ccxt, exchange)({"enableRateLimit": True})


def _downloaded(wanted: CandleSource, known: pd.DataFrame, errors: Any, log: Log) -> pd.DataFrame:
    """Ask page by page for what is not known yet."""
    client = connect(wanted.exchange)
    markets = _patiently(client.load_markets, errors, log)
    if wanted.symbol not in markets:
        raise BadInput(f"{wanted.exchange} has no symbol {wanted.symbol!r}; {did_you_mean(wanted.symbol, list(markets))}")
    if not client.has["fetchOHLCV"] or wanted.timeframe not in (client.timeframes or {}):
        raise BadInput(f"{wanted.exchange} has no candles of {wanted.timeframe}; it has {', '.join(client.timeframes or {}) or 'none'}")
    step_ms, now_ms = client.parse_timeframe(wanted.timeframe) * 1000, client.milliseconds()
    next_ms = _ms(known["ds"].iloc[-1]) + 1 if len(known) else max(_ms(wanted.since or FIRST_DAY), 0 if wanted.since else now_ms - MOST * step_ms)
    rows: list[Row] = []
    while next_ms + step_ms <= now_ms:
        ask = partial(client.fetch_ohlcv, wanted.symbol, wanted.timeframe, next_ms, PAGE)
        new = [row for row in _patiently(ask, errors, log) if row[0] >= next_ms]
        rows += new
        next_ms = int(new[-1][0]) + 1 if new else next_ms + PAGE * step_ms  # nothing yet, or a long gap
    complete = [row for row in rows if row[0] + step_ms <= now_ms]
    fresh = pd.DataFrame(complete, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[1:], float))
    fresh["ds"] = pd.to_datetime(fresh["ds"].astype("int64"), unit="ms")
    return (pd.concat([known, fresh], ignore_index=True) if len(known) else fresh).drop_duplicates("ds", ignore_index=True)


def _patiently(ask: Callable[[], T], errors: Any, log: Log) -> T:
    """Ask again, later and later, while the network or the exchange fails."""
    for attempt in range(1, ATTEMPTS):
        try:
            return ask()
        except errors.NetworkError as error:
            wait_s = PATIENCE_S * 2 ** (attempt - 1)
            log(f"{_first_line(error)}; trying again in {wait_s:.0f} s")
            time.sleep(wait_s)
    return ask()


def _gaps(frame: pd.DataFrame) -> str:
    """Say how many steps are missing between candles, and where the longest gap is."""
    apart = frame["ds"].diff().iloc[1:]
    if apart.empty or (apart == apart.min()).all():
        return "no gaps"
    missing = (apart / apart.min()).round().astype(int) - 1
    widest = int(missing.idxmax())
    return f"{int(missing.sum())} missing, the most ({int(missing.max())}) before {frame['ds'].iloc[widest]}: --gaps fill or mask"


def _ms(stamp: str | pd.Timestamp) -> int:
    """Milliseconds since 1970, which is how exchanges count."""
    return int(pd.Timestamp(stamp).timestamp() * 1000)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}".rstrip(": ")

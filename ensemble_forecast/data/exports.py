"""Candles as exchanges and portals write them, recognised by their columns: brought into the form that everything else has."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

BINANCE = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
KRAKEN = ("time", "open", "high", "low", "close", "volume", "trades")
HEADERS = {len(names): names for names in (BINANCE, KRAKEN)}  # of files without one, by their number of columns
EPOCH = re.compile(r"\d{10}(\d{3}){0,2}(\.0+)?")  # seconds, milli- or microseconds of this century
BANNER = re.compile(r"\s*https?://\S+\s*\n")  # a line of advertisement before the header
MULTIPLES = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}

Frame = pd.DataFrame  # of text


@dataclass(frozen=True)
class Export:
    """One kind of file.

    Parameters
    ----------
    told_by
        Columns, in lower case, that no other kind has together.
    rename, drop
        What the columns mean, and which are about something else or say it twice; in lower case.
    mend
        What else is done.
    """

    told_by: frozenset[str]
    rename: dict[str, str] = field(default_factory=dict)
    drop: frozenset[str] = frozenset()
    mend: Callable[[Frame], Frame] = lambda frame: frame


def _written_out(frame: Frame) -> Frame:
    """Write volumes such as 1.25K as numbers; a dash is none."""
    found = frame["volume"].str.strip().str.extract(r"^([\d.,]+)([KMBT]?)$")
    number = pd.to_numeric(found[0].str.replace(",", ""), errors="coerce") * found[1].map(MULTIPLES)
    return frame.assign(volume=number.map(lambda value: None if pd.isna(value) else repr(float(value))))


EXPORTS = (
    Export(frozenset({"open_time", "close_time", "quote_volume", "ignore"}), drop=frozenset({"close_time", "ignore"})),  # Binance
    Export(frozenset({"unix", "date", "symbol", "open", "close"}), drop=frozenset({"unix"})),  # CryptoDataDownload
    Export(  # Investing.com
        frozenset({"date", "price", "open", "high", "low", "vol.", "change %"}),
        {"price": "close", "vol.": "volume"},
        frozenset({"change %"}),
        _written_out,
    ),
    Export(  # CoinMarketCap
        frozenset({"timeopen", "timeclose", "timehigh", "timelow", "close"}),
        {"timeopen": "ds"},
        frozenset({"timeclose", "timehigh", "timelow", "name", "timestamp", "circulatingsupply"}),
    ),
    Export(frozenset({"time", "low", "high", "open", "close", "volume"})),  # Coinbase
)


def without_banner(text: str) -> str:
    """Leave out a first line that is nothing but an address."""
    return BANNER.sub("", text, count=1) if BANNER.match(text) else text


def header_for(cells: list[str]) -> tuple[str, ...] | None:
    """Name the columns of a file without a header by its first row; None where it is not known."""
    return HEADERS.get(len(cells)) if EPOCH.fullmatch(cells[0].strip()) else None


def normalised(frame: Frame) -> Frame:
    """Bring a file of a known kind into form, oldest row first; return any other as it is.

    Parameters
    ----------
    frame
        Every cell as it is written.
    """
    names = [name.lower() for name in frame.columns]
    if names[:1] == ["price"] and len(frame) > 1 and frame.iloc[0, 0] == "Ticker" and frame.iloc[1, 0] == "Date":  # yfinance: a header of three lines
        return frame.iloc[2:].reset_index(drop=True).set_axis(["date", *names[1:]], axis=1)
    kind = next((export for export in EXPORTS if export.told_by <= set(names)), None)
    if kind is None or len(set(names)) < len(names):
        return frame
    frame = kind.mend(frame.set_axis(names, axis=1).drop(columns=kind.drop & set(names)).rename(columns=kind.rename))
    written = frame[next(name for name in ("ds", "date", "time", "open_time") if name in frame)]
    stamps = pd.to_numeric(written, errors="coerce")
    if stamps.isna().any():
        stamps = pd.to_datetime(written, errors="coerce", utc=True)
    return frame[::-1].reset_index(drop=True) if stamps.iloc[0] > stamps.iloc[-1] else frame

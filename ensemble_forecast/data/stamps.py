"""Stamps as people write them: dates in many orders, Unix epochs, years, time zones. Inside, int64 seconds since 1970, UTC."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api import types

MISSING = np.iinfo(np.int64).min  # what NumPy makes of NaT
SAMPLE = 50
NAMED = (
    "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%b %Y", "%B %Y", "%b-%Y", "%Y/%m/%d", "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S", "%Y.%m.%d", "%Y.%m.%d %H:%M", "%Y.%m.%d %H:%M:%S", "%b %d, %Y %H:%M", "%d %b %Y %H:%M:%S",
)  # fmt: skip
NUMERIC_DATE = r"(\d{1,2})([./-])(\d{1,2})[./-](\d{4}|\d{2})(?:[ T,]+(\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(?:\s*([AaPp])\.?[Mm]\.?)?)?"
ZONE = r"\d:\d{2}\S*?\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"


@dataclass
class Reading:
    """Stamps read from a column.

    ``seconds`` is `MISSING` where there is none; ``unread`` marks cells that are no dates, ``mixed`` those whose time zone differs from most;
    ``doubt`` says what makes the whole column ambiguous; ``notes`` are for the log.
    """

    seconds: np.ndarray
    unread: np.ndarray
    mixed: np.ndarray
    doubt: str | None = None
    notes: list[str] = field(default_factory=list)


def is_stamp(column: pd.Series) -> bool:
    """Whether a column holds dates, told by its type or, for text, by its first cells."""
    if types.is_datetime64_any_dtype(column.dtype) or isinstance(column.dtype, pd.PeriodDtype):
        return True
    head = column.dropna().head(SAMPLE)
    if types.is_numeric_dtype(column.dtype) or not len(head):
        return False
    return not read(head).unread.any()


def read(column: pd.Series) -> Reading:
    """Read a column of stamps.

    Zoned stamps become UTC, but when all of them are midnights they are dates, and stay the dates that were written.
    """
    if isinstance(column.dtype, pd.ArrowDtype):
        column = pa.array(column).to_pandas()
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return _zoned(column)
    if types.is_datetime64_any_dtype(column.dtype):
        return _reading(column.to_numpy())
    if types.is_numeric_dtype(column.dtype):
        return _epochs(column.to_numpy(dtype=np.float64, na_value=np.nan))
    return _texts(column)


def _reading(values: np.ndarray, unread: np.ndarray | None = None) -> Reading:
    """Make a reading of naive datetime64 values."""
    whole = values.astype("datetime64[s]")
    none = np.zeros(len(values), dtype=bool)
    reading = Reading(whole.astype(np.int64), none if unread is None else unread, none.copy())
    fraction = (values - whole)[~np.isnat(values)]
    if len(fraction) and (fraction != fraction[0]).any():  # one fraction for all, such as 23:59:59.999, does no harm
        reading.doubt = "stamps differ by fractions of a second"
    return reading


def _zoned(column: pd.Series) -> Reading:
    """Read stamps of one time zone."""
    zone = column.dt.tz
    local = column.dt.tz_localize(None)
    if (local.dropna() == local.dropna().dt.normalize()).all():
        reading = _reading(local.to_numpy())
        reading.notes.append(f"stamps are midnights in time zone {zone}: read as dates")
        return reading
    reading = _reading(column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
    if str(zone) != "UTC":
        reading.notes.append(f"stamps converted from time zone {zone} to UTC")
    return reading


def _epochs(values: np.ndarray) -> Reading:
    """Read numbers: Unix epochs in s, ms, us or ns, dates such as 20240131, or years."""
    known = np.isfinite(values)
    size = np.median(np.abs(values[known])) if known.any() else 0.0
    whole = np.where(known, values, 0)
    if 1000 <= size < 3000:
        return _reading(np.where(known, (whole - 1970).astype("datetime64[Y]").astype("datetime64[s]"), np.datetime64("NaT", "s")))
    if 1e7 <= size < 1e8:
        texts = pd.Series(whole.astype(np.int64)).astype(str)
        return _reading(pd.to_datetime(texts, format="%Y%m%d", errors="coerce").to_numpy())
    for limit, unit in ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (1e20, 1_000_000_000)):
        if 1e8 <= size < limit:
            seconds = np.where(known, np.floor(whole / unit), 0).astype(np.int64)
            reading = _reading(np.where(known, seconds.astype("datetime64[s]"), np.datetime64("NaT", "s")))
            reading.notes.append(f"stamps read as Unix epochs, {unit} per second, in UTC")
            return reading
    return _reading(np.full(len(values), np.datetime64("NaT", "s")), unread=known)


def _texts(column: pd.Series) -> Reading:
    """Read text, or objects such as `datetime.date`, as stamps."""
    missing = column.isna().to_numpy(dtype=bool) | column.astype(str).str.strip().isin(["", "NaT", "nan", "None"]).to_numpy(dtype=bool)
    cells = column.astype(str).str.strip().reset_index(drop=True)
    zone = cells.str.extract(ZONE, expand=False).fillna("").replace(dict.fromkeys(("Z", "z", "UTC", "GMT", "+00", "+0000", "-00:00"), "+00:00"))
    zone = zone.str.replace(r"^([+-]\d{2})(\d{2})$", r"\1:\2", regex=True).where(~missing, "")
    has_zone = zone != ""
    naive = cells.where(~has_zone, cells.str.replace(r"\s*(?:Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$", "", regex=True))
    values, doubt = _parse(naive.where(~missing))
    reading = _reading(values, unread=np.isnat(values) & ~missing)
    reading.doubt = reading.doubt or doubt
    if not has_zone.any():
        return reading
    zones = zone[~missing].value_counts()
    reading.mixed = (zone != zones.index[0]).to_numpy() & ~missing & (len(zones) > 1)
    read_in = reading.seconds[~missing & ~reading.unread]
    if len(zones) == 1 and (read_in % 86400 == 0).all():
        reading.notes.append(f"stamps are midnights at {zones.index[0]}: read as dates")
        return reading
    written = zone.where(has_zone, "+00:00")
    minutes = 60 * written.str.slice(1, 3).astype(int) + written.str.slice(4, 6).replace("", "0").astype(int)
    offset = 60 * minutes.to_numpy().astype(np.int64) * np.where(zone.str.startswith("-"), -1, 1)
    reading.seconds = np.where(reading.seconds == MISSING, MISSING, reading.seconds - offset)
    if list(zones.index) != ["+00:00"]:
        reading.notes.append(f"stamps converted from time zone {', '.join(sorted(zones.index))} to UTC")
    return reading


def _parse(cells: pd.Series) -> tuple[np.ndarray, str | None]:
    """Parse text dates with the one order of day, month and year that reads most of them; say so when two orders are equally good."""
    some = max(1, int(cells.notna().sum()))
    iso = pd.to_datetime(cells, format="ISO8601", errors="coerce")
    if 2 * iso.notna().sum() >= some:
        return iso.to_numpy(), None
    parts = cells.str.extract(rf"^{NUMERIC_DATE}$")
    if 2 * parts[0].notna().sum() >= some:
        return _numeric_dates(parts)
    quarter = cells.str.extract(r"^(\d{4})[- ]?[Qq]([1-4])$")
    if 2 * quarter[0].notna().sum() >= some:
        month = (quarter[1].astype(float) * 3 - 2).astype("Int64").astype(str).str.zfill(2)
        return pd.to_datetime(quarter[0] + "-" + month + "-01", format="ISO8601", errors="coerce").to_numpy(), None
    attempts = (pd.to_datetime(cells, format=style, errors="coerce") for style in NAMED)
    best = max(attempts, key=lambda values: values.notna().sum())
    return best.to_numpy(), None


def _numeric_dates(parts: pd.DataFrame) -> tuple[np.ndarray, str | None]:
    """Parse dates such as 31/01/2024; the order is the one no cell contradicts, else the one with steadier steps."""
    first, second = parts[0].astype(float), parts[2].astype(float)
    year = parts[3].where(parts[3].str.len() == 4, "20" + parts[3])
    hour = parts[4].fillna("00:00").str.split(":", n=1)
    half = parts[5].str.lower()
    hours = hour.str[0].astype(float)
    hours = hours.mask((half == "p") & (hours < 12), hours + 12).mask((half == "a") & (hours == 12), 0)
    clock = hours.astype("Int64").astype(str).str.zfill(2) + ":" + hour.str[1]

    def dates(day: pd.Series, month: pd.Series) -> np.ndarray:
        return pd.to_datetime(year + "-" + month.str.zfill(2) + "-" + day.str.zfill(2) + " " + clock, format="ISO8601", errors="coerce").to_numpy()

    day_first, month_first = (first > 12).any(), (second > 12).any()
    if day_first or (parts[1] == ".").any():
        return dates(parts[0], parts[2]), None
    if month_first:
        return dates(parts[2], parts[0]), None
    choices = [dates(parts[0], parts[2]), dates(parts[2], parts[0])]
    steadiness = [_steadiness(values) for values in choices]
    doubt = "dates can be read day first and month first" if steadiness[0] == steadiness[1] and (first != second).any() else None
    return choices[int(steadiness[1] > steadiness[0])], doubt


def _steadiness(values: np.ndarray) -> tuple[bool, int]:
    """How calendar-like stamps look: steps that never change direction, and few different ones (month lengths count as one)."""
    step = np.diff(values[~np.isnat(values)].astype("datetime64[D]").astype(np.int64))
    step = np.where((np.abs(step) >= 28) & (np.abs(step) <= 31), 30 * np.sign(step), step)
    return bool((step >= 0).all() or (step <= 0).all()), -len(np.unique(step))

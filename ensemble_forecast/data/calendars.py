"""Regular calendars: which stamps a frequency allows, where a stamp lies on it, and which one a set of stamps follows.

Stamps are int64 seconds since 1970 here. Everything is arithmetic on whole arrays, so that a panel of many series costs no loop.
"""

import re
from dataclasses import dataclass

import numpy as np

from ensemble_forecast.errors import BadInput

DAY = 86400
FIXED = {"s": 1, "min": 60, "h": 3600, "D": DAY, "W": 7 * DAY}
MONTHS = {"M": 1, "Q": 3, "Y": 12}
MONTHLY = tuple(business + letter + edge for business in ("", "B") for letter in MONTHS for edge in "SE")  # MS, ME, QS ... BYE
UNITS = (*FIXED, "B", *MONTHLY)
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
OLD_SPELLINGS = {  # pandas before 2.2, and habits
    "S": "s", "T": "min", "H": "h", "d": "D", "w": "W", "b": "B", "M": "ME", "Q": "QE", "A": "YE", "Y": "YE", "AS": "YS",
    "BM": "BME", "BQ": "BQE", "BA": "BYE", "BY": "BYE", "BAS": "BYS",
}  # fmt: skip


@dataclass(frozen=True)
class Calendar:
    """A regular calendar: ``count`` times ``unit``, such as 15 ``min``, 1 ``W`` anchored on MON, 1 ``QS`` anchored on JAN.

    ``anchor`` is a weekday or a month; None for units without one, or when it is not known yet.
    """

    unit: str
    count: int = 1
    anchor: str | None = None

    @classmethod
    def parse(cls, freq: str) -> "Calendar":
        """Read a pandas offset alias; old spellings are understood.

        Raises
        ------
        BadInput
            When it is no calendar this package knows.

        >>> str(Calendar.parse("15T")), str(Calendar.parse("W-MON")), str(Calendar.parse("M"))
        ('15min', 'W-MON', 'ME')
        """
        match = re.fullmatch(r"(\d*)([A-Za-z]+)(?:-([A-Za-z]{3}))?", freq.strip())
        count, unit, anchor = match.groups() if match else ("", "", None)
        unit = OLD_SPELLINGS.get(unit, unit)
        anchor = anchor.upper() if anchor else None
        anchors = WEEKDAYS if unit == "W" else MONTH_NAMES if unit in MONTHLY and "M" not in unit else ()
        sound = unit in UNITS and count != "0" and (anchor is None or anchor in anchors) and (unit != "B" or count in ("", "1"))
        if not sound:
            raise BadInput(f"freq must be a calendar such as D, B, h, 15min, W-MON, MS, ME, QS, YS; got {freq!r}")
        return cls(unit, int(count or 1), anchor)

    def __str__(self) -> str:
        return f"{self.count if self.count > 1 else ''}{self.unit}{'-' + self.anchor if self.anchor else ''}"

    def anchored(self, stamp: np.ndarray) -> "Calendar":
        """Set a missing anchor to the weekday or month on which most stamps lie."""
        if self.anchor is not None or not len(stamp):
            return self
        if self.unit == "W":
            return Calendar(self.unit, self.count, WEEKDAYS[_most_common(_weekday(stamp))])
        if self.unit not in MONTHLY or "M" in self.unit:
            return self
        months = MONTHS[self.unit[-2]]
        residue = _most_common(_month(stamp) % months)
        if self.unit.endswith("E") and months == 3:
            return Calendar(self.unit, self.count, ("JAN", "FEB", "DEC")[residue])
        return Calendar(self.unit, self.count, MONTH_NAMES[residue])

    def locate(self, stamp: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest place on the calendar for every stamp.

        Parameters
        ----------
        stamp
            int64 seconds, one a row; series one after the other.
        offsets
            Series i holds the rows ``offsets[i]:offsets[i + 1]``, at least one. A series may have a phase of its own (half past every hour).

        Returns
        -------
        The step of each row counted from an arbitrary zero, and the stamp of that step: equal to ``stamp`` where it lies on the calendar.
        """
        size_S = np.diff(offsets)
        first_S, second_S = stamp[offsets[:-1]], stamp[offsets[:-1] + np.minimum(1, size_S - 1)]
        phase = np.repeat(self._phases(stamp, first_S, second_S), size_S)
        step = self._step(stamp, phase)
        return step, self._stamp(step, phase)

    def stamps(self, first_S: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Write the calendar out: stamps of series that begin at ``first_S`` (on the calendar) and have ``diff(offsets)`` steps."""
        size_S = np.diff(offsets)
        phase_S = self._phases(first_S, first_S, first_S)
        step = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - self._step(first_S, phase_S), size_S)
        return self._stamp(step, np.repeat(phase_S, size_S))

    def _step(self, stamp: np.ndarray, phase: np.ndarray) -> np.ndarray:
        """Find the number of the nearest step; for business days the one before, for months and longer the one in the same month or quarter."""
        if self.unit in FIXED:
            period = FIXED[self.unit] * self.count
            return (2 * (stamp - phase) + period) // (2 * period)
        if self.unit == "B":
            return np.busday_count(np.datetime64(0, "D"), np.busday_offset(_days(stamp), 0, roll="backward"))
        month = _month(stamp) - phase // DAY
        return -(-month // self._months) if self.unit.endswith("E") else month // self._months

    def _stamp(self, step: np.ndarray, phase: np.ndarray) -> np.ndarray:
        """Stamp of a step: the inverse of `_step` on the calendar."""
        if self.unit in FIXED:
            return step * FIXED[self.unit] * self.count + phase
        if self.unit == "B":
            return np.busday_offset(np.datetime64(0, "D"), step).astype(np.int64) * DAY + phase
        return self._day_in_month(step * self._months + phase // DAY) * DAY + phase % DAY

    @property
    def _months(self) -> int:
        """Months in a step of a monthly, quarterly or yearly calendar."""
        return MONTHS[self.unit[-2]] * self.count

    def _phases(self, stamp: np.ndarray, first_S: np.ndarray, second_S: np.ndarray) -> np.ndarray:
        """Phase of each series, in seconds: its place within a step. For monthly units: days stand for months, the rest is the time of day."""
        if self.unit == "W":
            zero = (WEEKDAYS.index(self.anchor or "THU") - 3) * DAY  # 1970-01-01 was a Thursday
            phase_S = _common_phases(stamp - zero, first_S - zero, second_S - zero, FIXED["W"] * self.count)
            return zero + phase_S - phase_S // DAY % 7 * DAY
        if self.unit in FIXED:
            return _common_phases(stamp, first_S, second_S, FIXED[self.unit] * self.count)
        clock_S = _common_phases(stamp, first_S, second_S, DAY)
        if self.unit == "B":
            return clock_S
        base = MONTHS[self.unit[-2]]
        anchor = MONTH_NAMES.index(self.anchor or "JAN") % base
        later_S = (_month(first_S) - anchor) // base * base % self._months  # every other quarter: from the first one on
        return (anchor + later_S) % self._months * DAY + clock_S

    def _day_in_month(self, month: np.ndarray) -> np.ndarray:
        """Day (since 1970) of the unit's edge of each month (since 1970)."""
        if self.unit.endswith("S"):
            day = month.astype("datetime64[M]").astype("datetime64[D]")
        else:
            day = (month + 1).astype("datetime64[M]").astype("datetime64[D]") - 1
        if self.unit.startswith("B"):
            day = np.busday_offset(day, 0, roll="forward" if self.unit.endswith("S") else "backward")
        return day.astype(np.int64)


def infer(stamp: np.ndarray, offsets: np.ndarray) -> Calendar | None:
    """Find the calendar that most steps between neighbouring stamps follow; None when no series has two stamps.

    >>> str(infer(np.arange(10) * 7 * DAY, np.array([0, 10])))
    'W-THU'
    """
    step = np.diff(stamp)
    step[offsets[1:-1] - 1] = 0  # from one series to the next
    step = step[step > 0]
    if not len(step):
        return None
    seconds = _most_common(step)
    if seconds % DAY and seconds < 28 * DAY:
        unit = next(unit for unit in ("h", "min", "s") if seconds % FIXED[unit] == 0)
        return Calendar(unit, seconds // FIXED[unit])
    days = seconds // DAY
    if days == 1:
        weekend = _weekday(stamp) >= 5
        return Calendar("B" if (step == 3 * DAY).any() and not weekend.any() else "D")
    if days == 7:
        week = Calendar("W").anchored(stamp)
        on_anchor = _weekday(stamp) == WEEKDAYS.index(week.anchor or "")
        return week if on_anchor.mean() > 0.9 else Calendar("D", 7)
    edge = _month_edge(stamp)
    months = round(days / 30.4375)
    if months < 1 or abs(days - months * 30.4375) > 3 or (edge is None and len(np.unique(_days(stamp) - _month_start(stamp))) > 4):
        return Calendar("W", days // 7).anchored(stamp) if days % 7 == 0 else Calendar("D", days)
    letter = next(letter for letter in ("Y", "Q", "M") if months % MONTHS[letter] == 0)
    prefix, suffix = edge or ("", "S")
    return Calendar(prefix + letter + suffix, months // MONTHS[letter]).anchored(stamp)


def _month_edge(stamp: np.ndarray) -> tuple[str, str] | None:
    """Tell whether most stamps lie on the first or last (business) day of their month."""
    month, day = _month(stamp), _days(stamp).astype(np.int64)
    for prefix, suffix in (("", "S"), ("", "E"), ("B", "S"), ("B", "E")):
        if (Calendar(prefix + "M" + suffix)._day_in_month(month) == day).mean() > 0.8:
            return prefix, suffix
    return None


def _common_phases(stamp: np.ndarray, first_S: np.ndarray, second_S: np.ndarray, period: int) -> np.ndarray:
    """Phase of each series: the common one of all rows where it begins on it, else that of its first stamp (one odd first stamp is forgiven)."""
    first_S, second_S = first_S % period, second_S % period
    common = _most_common(stamp % period) if len(np.unique(first_S)) > 1 or (first_S != second_S).any() else first_S[0]
    return np.where(second_S == common, common, first_S)


def _most_common(values: np.ndarray) -> int:
    """Most frequent value; the smallest of several."""
    found, count = np.unique(values, return_counts=True)
    return int(found[np.argmax(count)])


def _days(stamp: np.ndarray) -> np.ndarray:
    """Day of each stamp as datetime64[D]."""
    return (stamp // DAY).astype("datetime64[D]")


def _weekday(stamp: np.ndarray) -> np.ndarray:
    """Weekday of each stamp, Monday 0."""
    return (stamp // DAY + 3) % 7


def _month_start(stamp: np.ndarray) -> np.ndarray:
    """First day of each stamp's month as datetime64[D]."""
    return _days(stamp).astype("datetime64[M]").astype("datetime64[D]")


def _month(stamp: np.ndarray) -> np.ndarray:
    """Months since January 1970."""
    return _days(stamp).astype("datetime64[M]").astype(np.int64)

"""Time is one object handed down, not a float recomputed at each level."""

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from ensemble_forecast.errors import BadInput

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str | float) -> float:
    """Read a budget such as ``90``, ``"90s"``, ``"2m"`` or ``"1h30m"`` as seconds.

    Raises
    ------
    BadInput
        When it is not a positive, finite duration.

    >>> seconds("2m"), seconds("1h30m"), seconds(5)
    (120.0, 5400.0, 5.0)
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", str(text).strip().lower())
    total = sum(float(number) * UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != str(text).strip().lower() or not 0 < total < math.inf:
        raise BadInput(f"a budget must be a positive duration such as 90s, 2m or 1h30m; got {text!r}")
    return total


@dataclass(frozen=True)
class Deadline:
    """A point on the monotonic clock by which work must end."""

    at: float

    @classmethod
    def after(cls, duration_s: float) -> Self:
        """Set a deadline so many seconds from now."""
        return cls(time.monotonic() + duration_s)

    @classmethod
    def never(cls) -> Self:
        """Set no limit."""
        return cls(math.inf)

    def left(self) -> float:
        """Seconds until the deadline, never below zero."""
        return max(0.0, self.at - time.monotonic())

    def passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.at

    def told(self, share: float, curve: Sequence[tuple[float, ...]]) -> None:
        """Hear of a look at the stop role: the loss as a share of climatology's, and all looks so far. Whoever watches a training may end it here."""

    def within(self, duration_s: float) -> "Deadline":
        """Return the earlier of this deadline and so many seconds from now."""
        return Deadline(min(self.at, time.monotonic() + duration_s))

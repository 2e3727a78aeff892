"""One thing that is wrong with the data, where it is, and what to do about it."""

from dataclasses import dataclass
from typing import NoReturn

from ensemble_forecast.errors import BadInput


@dataclass(frozen=True)
class Problem:
    """Something the data must not have.

    Parameters
    ----------
    series
        Name of the series, or None when the whole table is meant.
    row
        First row concerned, counted from 1 without the header line; None when no single row is meant.
    column
        Column concerned, or None.
    found
        What was found there.
    remedy
        What to do about it.
    """

    series: str | None
    row: int | None
    column: str | None
    found: str
    remedy: str

    def __str__(self) -> str:
        place = [
            f"series {self.series!r}" if self.series is not None else "",
            f"row {self.row}" if self.row is not None else "",
            f"column {self.column!r}" if self.column is not None else "",
        ]
        where = ", ".join(part for part in place if part)
        return f"{where + ': ' if where else ''}{self.found}; {self.remedy}"


def such_rows(count: int) -> str:
    """Say behind a problem that more rows have it."""
    return f" ({count} such rows)" if count > 1 else ""


def refuse(problems: list[Problem]) -> NoReturn:
    """Raise `BadInput` with the first problem and the number of others.

    >>> refuse([Problem("BTC", 3, "close", "infinity", "write a number")])
    Traceback (most recent call last):
    ensemble_forecast.errors.BadInput: series 'BTC', row 3, column 'close': infinity; write a number
    """
    more = f" (and {len(problems) - 1} more: run doctor)" if len(problems) > 1 else ""
    raise BadInput(f"{problems[0]}{more}")

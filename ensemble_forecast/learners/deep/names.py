"""What a recipe names: looked up, or refused with what there is."""

from collections.abc import Collection, Mapping
from typing import TypeVar

from ensemble_forecast.errors import BadInput

T = TypeVar("T")


def check_name(what: str, name: str, known: Collection[str]) -> None:
    """Refuse a name that is not known.

    Raises
    ------
    BadInput
        When it is not.
    """
    if name not in known:
        raise BadInput(f"{what} must be one of {', '.join(known)}; got {name!r}")


def named(what: str, name: str, table: Mapping[str, T]) -> T:
    """Look a name up; raises as `check_name` does."""
    check_name(what, name, table)
    return table[name]

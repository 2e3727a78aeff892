"""A set written for the candles of one series, lifted to panels; yours too: decorate it, and name it in the pipeline by its import string."""

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.features.market.candles import Candles, Columns, candles_of

LARGEST = 100.0  # every feature is cut off here: most lie within plus or minus ten, and no learner is to be thrown by one quotient


def on_candles(columns: Callable[[Candles], Columns]) -> Callable[[Panel], Panel]:
    """Make a feature set of a function from the candles of one series to its columns.

    The set appends the columns as past covariates, each with the function's name before its own, series by series; rows without an observed
    close before them are NaN. The function itself is at ``__wrapped__``.
    """

    @functools.wraps(columns)
    def append(panel: Panel) -> Panel:
        made: dict[str, np.ndarray] = {}
        for begin, candles in candles_of(panel):
            for name, values in computed(columns, replace(candles, memory=[])).items():
                made.setdefault(name, np.full(len(panel.y), np.nan))[begin : begin + len(values)] = np.clip(values, -LARGEST, LARGEST)
        return replace(panel, past=np.column_stack([panel.past, *made.values()]), past_names=(*panel.past_names, *made))

    return append


def computed(columns: Callable[[Candles], Columns], candles: Candles) -> Columns:
    """Compute the columns of one series under their full names."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # NaN of the warm-up goes through everything
        return {f"{columns.__name__}_{name}": values for name, values in columns(candles).items()}

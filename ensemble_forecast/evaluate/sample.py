"""What a test of some losses may count as independent: times of one series, or series and times of a panel."""

from dataclasses import dataclass

import numpy as np

from ensemble_forecast.evaluate.diebold_mariano import Test, diebold_mariano, overlapping_error, two_way, two_way_error
from ensemble_forecast.windows import FEW_SERIES


@dataclass(frozen=True, eq=False)
class Sample:
    """Where N values come from, one an origin, each a mean over the horizon.

    Below ``windows.FEW_SERIES`` series, time is the sample: the values of all series at one time give one mean. From there on, series and
    times both are; at a single time a common shock cannot be told from skill.

    Parameters
    ----------
    series
        int64 (N,): series of each origin.
    time
        int64 (N,): steps since some common time, the same number for series at the same time.
    horizon
        Steps ahead, so that the values of this many neighbours in time overlap.
    """

    series: np.ndarray
    time: np.ndarray
    horizon: int

    @property
    def n_series(self) -> int:
        """Number of series."""
        return len(np.unique(self.series))

    @property
    def n_times(self) -> int:
        """Number of times."""
        return len(np.unique(self.time))

    @property
    def is_panel(self) -> bool:
        """Whether there are enough series to count them as observations."""
        return self.n_series >= FEW_SERIES

    @property
    def bets(self) -> int:
        """Number of times that do not overlap: a panel's origins lie a horizon apart."""
        return self.n_times if self.is_panel else self.n_times // self.horizon

    def take(self, index: np.ndarray) -> "Sample":
        """Select origins by position or mask."""
        return Sample(self.series[index], self.time[index], self.horizon)

    def by_time(self, values_N: np.ndarray) -> np.ndarray:
        """Mean value at each time, oldest first; further axes are kept."""
        _, position_N, count_T = np.unique(self.time, return_inverse=True, return_counts=True)
        order = np.argsort(position_N, kind="stable")
        if not len(order):
            return values_N
        sums = np.add.reduceat(values_N[order], np.cumsum(count_T) - count_T, axis=0)
        means: np.ndarray = sums / count_T.reshape(-1, *(1,) * (values_N.ndim - 1))
        return means

    def compare(self, loss_a_N: np.ndarray, loss_b_N: np.ndarray) -> Test:
        """Test whether a has the smaller expected loss; see `diebold_mariano` and `two_way`."""
        if not self.is_panel:
            return diebold_mariano(self.by_time(loss_a_N), self.by_time(loss_b_N), self.horizon)
        if self.n_times > 1:
            return two_way(loss_a_N, loss_b_N, self.series, self.time)
        return diebold_mariano(loss_a_N, loss_b_N, 1)

    def error_of_mean(self, values_N: np.ndarray) -> tuple[float, float]:
        """Return the standard error of the mean value, by the same rules as `compare`, and its degrees of freedom."""
        if not self.is_panel:
            return overlapping_error(self.by_time(values_N), self.horizon)
        if self.n_times > 1:
            return two_way_error(values_N, self.series, self.time)
        return overlapping_error(values_N, 1)


def over_horizon(values_NH: np.ndarray) -> np.ndarray:
    """Mean of the known values of each origin: (N,), NaN where none is known."""
    known_NH = np.isfinite(values_NH)
    count_N = known_NH.sum(axis=1)
    means: np.ndarray = np.where(known_NH, values_NH, 0.0).sum(axis=1) / np.where(count_N > 0, count_N, np.nan)
    return means

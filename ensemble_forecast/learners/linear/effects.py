"""Effects of known covariates: how many scales of its series the target moves when a covariate does, learnt jointly with the window.

The target is taken for a smooth part plus ``slope @ known``. The effect is subtracted from windows, bases and targets and added to forecasts, so
that a promotion last week neither lifts the level nor comes back as a season. One slope serves all horizon steps and series.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.features.contexts import gather
from ensemble_forecast.features.seasons import seasonal_naive
from ensemble_forecast.learners.linear.gram import Eigen

PASSES = 4  # slopes and window coefficients multiply each other: solved in turns, which after the fourth change a slope by 2 %
MOST_WINDOWS = 10_000  # to learn a handful of slopes from
PENALTY = 0.01  # on the window's coefficients meanwhile
SHRINKAGE = 2.0  # a slope t standard errors from zero keeps 1 - 2 / t^2 of itself: noise keeps nothing


@dataclass(frozen=True, eq=False)
class Frame:
    """What a window is centred on and which base it corrects: the same is done to an effect.

    Parameters
    ----------
    length
        Steps of a window, L.
    centre_steps
        Newest steps whose mean is the centre.
    season
        Season of the base where that is the seasonal naive; None: the base is the centre, or one that covariates know nothing of.
    """

    length: int
    centre_steps: int
    season: int | None

    def window_of(self, values: np.ndarray, panel: Panel, origins: Origins) -> np.ndarray:
        """Deviations of a row variable from its centre, over each window: (N, L), 0 before the start of a series."""
        window_NL = gather(values, panel, origins, self.length)
        return np.nan_to_num(window_NL - self._centre_of(window_NL)[:, None])

    def ahead_of(self, values: np.ndarray, panel: Panel, origins: Origins, horizon: int) -> np.ndarray:
        """Deviations of a row variable at the target steps from its base: (N, H), 0 beyond the last row of a series."""
        row_NH = origins.rows(panel)[:, None] + np.arange(1, horizon + 1)
        inside_NH = row_NH < panel.offsets[origins.series + 1, None]
        ahead_NH = values[np.where(inside_NH, row_NH, 0)]
        if self.season is None:
            base_NH = self._centre_of(gather(values, panel, origins, self.centre_steps))[:, None]
        else:
            base_NH = seasonal_naive(replace(panel, y=values), origins, horizon, self.season)
        return np.where(inside_NH, ahead_NH - base_NH, 0.0)

    def _centre_of(self, window_NL: np.ndarray) -> np.ndarray:
        """Mean of the newest steps that exist."""
        newest_NL = window_NL[:, -self.centre_steps :]
        there_NL = np.isfinite(newest_NL)
        centre_N: np.ndarray = np.where(there_NL, newest_NL, 0.0).sum(axis=1) / there_NL.sum(axis=1)
        return centre_N


@dataclass(frozen=True, eq=False)
class KnownEffect:
    """Known covariates in units of their own spread, and what a unit of each does to the target, in scales of the series (a window's own wavers)."""

    mean_K: np.ndarray
    spread_K: np.ndarray
    slope_K: np.ndarray

    @classmethod
    def none(cls, panel: Panel) -> "KnownEffect":
        """Measure the covariates of a panel; no effect yet."""
        finite_RK = np.isfinite(panel.known)
        count_K = np.maximum(finite_RK.sum(axis=0), 1)
        mean_K = np.where(finite_RK, panel.known, 0.0).sum(axis=0) / count_K
        spread_K = np.sqrt(np.where(finite_RK, (panel.known - mean_K) ** 2, 0.0).sum(axis=0) / count_K)
        return cls(mean_K, np.where(spread_K > 1e-9 * np.abs(mean_K), spread_K, np.inf), np.zeros(len(mean_K)))

    def columns(self, panel: Panel) -> list[np.ndarray]:
        """Covariates in units of their spread, one array of all rows each; 0 where one is missing or never moves."""
        return [np.nan_to_num((values - mean) / spread) for values, mean, spread in zip(panel.known.T, self.mean_K, self.spread_K, strict=True)]

    def of_rows(self, panel: Panel) -> np.ndarray:
        """Effect at every row of a panel, in scales of the series."""
        effect = np.zeros(len(panel.y))
        for values, slope in zip(self.columns(panel), self.slope_K, strict=True):
            effect = effect + slope * values
        return effect


def learn(
    effect: KnownEffect, problem: Callable[[KnownEffect], tuple[np.ndarray, np.ndarray]], weight_N: np.ndarray, ahead_NHK: np.ndarray
) -> KnownEffect:
    """Learn the slopes.

    Parameters
    ----------
    problem
        Gives window inputs (N, F) and targets (N, H; NaN where missing), both cleaned of the effect handed to it.
    weight_N
        Weights of rows.
    ahead_NHK
        Deviations of the covariates at the target steps, as from `Frame.ahead_of`, in the unit of the targets.
    """
    for _ in range(PASSES):
        x_NF, target_NH = problem(effect)
        step_K, information_KK, noise = _step(x_NF, target_NH, weight_N, ahead_NHK)
        effect = replace(effect, slope_K=effect.slope_K + step_K)
    variance_K = noise * np.diag(np.linalg.pinv(information_KK))
    kept_K = np.clip(1 - SHRINKAGE * variance_K / np.maximum(effect.slope_K**2, 1e-300), 0.0, 1.0)
    return replace(effect, slope_K=effect.slope_K * kept_K)


def _step(x_NF: np.ndarray, target_NH: np.ndarray, weight_N: np.ndarray, ahead_NHK: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Solve for window coefficients and slopes together: the windows are projected out of targets and covariates (Frisch-Waugh-Lovell).

    Returns
    -------
    slopes (K,), their information matrix (K, K), and the variance of an independent residual.
    """
    missing_NH = np.isnan(target_NH)
    all_NHC = np.concatenate([target_NH[..., None], ahead_NHK], axis=2)
    all_NHC = np.where(missing_NH[..., None], 0.0, all_NHC)
    n_rows, horizon, n_columns = all_NHC.shape
    eigen = Eigen.of(x_NF, all_NHC.reshape(n_rows, -1), weight_N)
    centred = (all_NHC.reshape(n_rows, -1) - eigen.intercept_H).reshape(n_rows * horizon, n_columns)
    cross_FHC = eigen.cross_FH.reshape(-1, horizon, n_columns)
    shrunk_FHC = cross_FHC / (eigen.values_F + eigen.ridge(PENALTY))[:, None, None]
    products_CC = (centred * np.repeat(weight_N, horizon)[:, None]).T @ centred - np.einsum("fha,fhb->ab", cross_FHC, shrunk_FHC)
    information_KK = products_CC[1:, 1:]
    step_K = np.linalg.lstsq(information_KK, products_CC[1:, 0], rcond=1e-10)[0]
    error = max(products_CC[0, 0] - step_K @ products_CC[1:, 0], 0.0)
    freedom = max(n_rows * horizon - horizon * (1 + x_NF.shape[1]), n_rows * horizon / 4)
    return step_K, information_KK, float(error / freedom * horizon)  # targets of neighbouring origins overlap: one in H is independent

"""The penalised regression of ridge: its rows, the passes that make it robust, and the penalty that the stop role bears out."""

from dataclasses import dataclass

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.task import Task
from ensemble_forecast.learners.linear.gram import Eigen

ROBUST_PASSES = 2
ROBUST_PENALTY = 0.01  # of the passes that only find row weights
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)  # the upper half is for noise such as returns
CAUTION = 0.25  # standard errors of a difference in loss that a larger penalty may cost; a whole one is too much for weak but real seasons
BOUND = 0.02  # a linear model of a label is not to be believed nearer to 0 or 1


@dataclass(frozen=True, eq=False)
class Inputs:
    """Normalised inputs (N, F) of some origins, and what turns an output into a forecast: base + scale * (output + shift by known covariates)."""

    x_NF: np.ndarray
    base_NH: np.ndarray
    shift_NH: np.ndarray
    scale_N: np.ndarray
    series_N: np.ndarray

    @property
    def weight_N(self) -> np.ndarray:
        """Weights of the rows that bring the loss in units of their windows near MASE, which is in units of the series."""
        return np.clip(self.scale_N / self.series_N, 0.2, 5.0)


@dataclass(frozen=True, eq=False)
class Problem:
    """Inputs, scaled corrections or labels of -1 and 1 (NH, NaN where missing), and weights of some origins that have any target."""

    origins: Origins
    inputs: Inputs
    target_NH: np.ndarray
    weight_N: np.ndarray

    def __len__(self) -> int:
        return len(self.target_NH)


def solve(problem: Problem, task: Task, penalty: float) -> tuple[Eigen, np.ndarray]:
    """Decompose the problem after the robust passes; a missing target takes the value that the pass before fitted to it, and so pulls nowhere.

    Returns
    -------
    the decomposed problem, and the weight of each row in it.
    """
    inputs, target_NH, weight_N = problem.inputs, problem.target_NH, problem.weight_N
    missing_NH = np.isnan(target_NH)
    filled_NH = np.where(missing_NH, 0.0, target_NH)
    eigen = Eigen.of(inputs.x_NF, filled_NH, weight_N)
    for _ in range(ROBUST_PASSES if task.kind == "quantiles" else 0):  # labels have no outliers
        fitted_NH = eigen.intercept_H + (inputs.x_NF - eigen.mean_F) @ eigen.coefficients(penalty)
        filled_NH = np.where(missing_NH, fitted_NH, filled_NH)
        size_N = np.abs(filled_NH - fitted_NH).mean(axis=1)
        weight_N = problem.weight_N / np.maximum(size_N, max(0.3 * float(np.median(size_N)), 1e-9))
        eigen = Eigen.of(inputs.x_NF, filled_NH, weight_N)
    return eigen, weight_N


def choose_penalty(eigen: Eigen, stop: Problem, task: Task) -> float:
    """Choose the largest penalty whose loss on the stop rows is as good as the best, within a share of the standard error."""
    inputs, target_NH, losses = stop.inputs, stop.target_NH, []
    for penalty in PENALTIES:
        output_NH = eigen.intercept_H + (inputs.x_NF - eigen.mean_F) @ eigen.coefficients(penalty)
        if task.kind == "direction":
            loss_NH = -np.log(np.where(target_NH > 0, probability(output_NH), 1 - probability(output_NH)))
        else:
            loss_NH = np.abs(target_NH - output_NH) * inputs.weight_N[:, None]
        known_NH = np.isfinite(target_NH)
        losses.append(np.where(known_NH, loss_NH, 0.0).sum(axis=1) / known_NH.sum(axis=1))
    loss_PN = np.stack(losses)
    excess_PN = loss_PN - loss_PN[loss_PN.mean(axis=1).argmin()]
    n_independent = max(len(target_NH) / task.horizon, 1.0)  # targets of neighbouring origins overlap
    error_P = excess_PN.std(axis=1) / np.sqrt(n_independent)
    return PENALTIES[int(np.flatnonzero(excess_PN.mean(axis=1) <= CAUTION * error_P).max())]


def probability(output_NH: np.ndarray) -> np.ndarray:
    """Read the probability of up off a regression on labels of -1 and 1."""
    return np.clip((1 + output_NH) / 2, BOUND, 1 - BOUND)

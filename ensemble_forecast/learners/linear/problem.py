"""The penalised regression of ridge: its rows, the passes that make it robust, and the penalty that rows it was not learnt from bear out."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.task import Task
from ensemble_forecast.learners.linear.gram import Eigen

ROBUST_PASSES = 2
ROBUST_PENALTY = 0.01  # of the passes that only find row weights
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)  # the upper half is for noise such as returns
CAUTION = 0.25  # standard errors of a difference in loss that a larger penalty may cost; a whole one is too much for weak but real seasons
BLOCKS = 5  # in time, each left out once
MANY_LABELS = 250  # independent ones; with fewer, the newest rows know better (M4 hourly one by one: by 2 to 4 %)
MOST_LEFT_OUT = 10_000  # rows that are parted into them: neighbours of long horizons share most of their labels
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

    def take(self, rows: np.ndarray | slice) -> "Inputs":
        """Return the inputs of some rows."""
        return Inputs(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Problem:
    """Inputs, scaled corrections or labels of -1 and 1 (NH, NaN where missing), and weights of some origins that have any target."""

    origins: Origins
    inputs: Inputs
    target_NH: np.ndarray
    weight_N: np.ndarray

    def __len__(self) -> int:
        return len(self.target_NH)

    def take(self, rows: np.ndarray | slice) -> "Problem":
        """Return the problem of some rows."""
        return Problem(self.origins.take(rows), self.inputs.take(rows), self.target_NH[rows], self.weight_N[rows])


@dataclass(frozen=True, eq=False)
class Solved:
    """A decomposed problem, with the targets (NH, none missing) and the weights that its last pass saw."""

    eigen: Eigen
    target_NH: np.ndarray
    weight_N: np.ndarray


def solve(problem: Problem, task: Task, penalty: float) -> Solved:
    """Decompose the problem after the robust passes; a missing target takes the value that the pass before fitted to it, and so pulls nowhere."""
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
    return Solved(eigen, filled_NH, weight_N)


def choose_penalty(solved: Solved, problem: Problem, stop: Problem, task: Task) -> float:
    """Choose the largest penalty whose loss on rows that were not learnt from is as good as the best, within a share of the standard error.

    These are the stop rows and, where they are but the last steps of the series that were learnt from, blocks of the rows before as well, each
    left out once, if labels are many: a few hundred stop rows cannot tell a weak signal from none.
    """
    unseen = [(solved.eigen, stop)]
    if len(problem) / task.horizon >= MANY_LABELS and np.isin(stop.origins.series, problem.origins.series).any():
        thinned = slice(None, None, -(-len(problem) // MOST_LEFT_OUT))
        unseen += _left_out(problem.take(thinned), solved.target_NH[thinned], solved.weight_N[thinned], task.horizon)
    loss_PN = np.concatenate([_losses(eigen, rows, task) for eigen, rows in unseen], axis=1)
    excess_PN = loss_PN - loss_PN[loss_PN.mean(axis=1).argmin()]
    n_independent = max(loss_PN.shape[1] / task.horizon, 1.0)  # targets of neighbouring origins overlap
    error_P = excess_PN.std(axis=1) / np.sqrt(n_independent)
    return PENALTIES[int(np.flatnonzero(excess_PN.mean(axis=1) <= CAUTION * error_P).max())]


def _left_out(problem: Problem, target_NH: np.ndarray, weight_N: np.ndarray, horizon: int) -> Iterator[tuple[Eigen, Problem]]:
    """Give every block in time, and what the rows teach that share no label with it."""
    step_N = problem.origins.step
    block_N = np.searchsorted(np.quantile(step_N, np.arange(1, BLOCKS) / BLOCKS), step_N, side="right")
    for block in np.unique(block_N):
        is_out_N = block_N == block
        rest_N = (step_N <= step_N[is_out_N].min() - horizon) | (step_N >= step_N[is_out_N].max() + horizon)
        if rest_N.any():
            yield Eigen.of(problem.inputs.x_NF[rest_N], target_NH[rest_N], weight_N[rest_N]), problem.take(is_out_N)


def _losses(eigen: Eigen, rows: Problem, task: Task) -> np.ndarray:
    """Mean loss of each row under each penalty: (P, N)."""
    inputs, target_NH, losses = rows.inputs, rows.target_NH, []
    for penalty in PENALTIES:
        output_NH = eigen.intercept_H + (inputs.x_NF - eigen.mean_F) @ eigen.coefficients(penalty)
        if task.kind == "direction":
            loss_NH = -np.log(np.where(target_NH > 0, probability(output_NH), 1 - probability(output_NH)))
        else:
            loss_NH = np.abs(target_NH - output_NH) * inputs.weight_N[:, None]
        known_NH = np.isfinite(target_NH)
        losses.append(np.where(known_NH, loss_NH, 0.0).sum(axis=1) / known_NH.sum(axis=1))
    return np.stack(losses)


def probability(output_NH: np.ndarray) -> np.ndarray:
    """Read the probability of up off a regression on labels of -1 and 1."""
    return np.clip((1 + output_NH) / 2, BOUND, 1 - BOUND)

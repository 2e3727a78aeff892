"""Combiners that weigh as a graph, the calibration after them included."""

import numpy as np
from onnx import ModelProto

from ensemble_forecast.data.task import Task
from ensemble_forecast.ensemble.base import Combiner, WeightedCombiner
from ensemble_forecast.ensemble.buckets import bucket_of
from ensemble_forecast.ensemble.calibration import Calibration
from ensemble_forecast.ensemble.curves import AS_IS, INPUTS
from ensemble_forecast.ensemble.per_quantile import PerQuantile
from ensemble_forecast.forecasts import PROBABILITY_FLOOR
from ensemble_forecast.graphs import FLOAT64, Canvas, Undrawable

FORECASTS = "forecasts"


def of_combiner(combiner: Combiner, calibration: Calibration, task: Task) -> ModelProto:
    """Draw a linear combiner with its calibration: from ``forecasts`` (N, H, Q, M), NaN where a member does not serve, to (N, H, Q).

    Raises
    ------
    Undrawable
        When the combiner is no weighted average, or its probabilities are of more than two classes or bent by steps.
    """
    if task.kind == "direction" and task.n_outputs > 2:
        raise Undrawable("it tells more than two classes apart")
    weights = _weights(combiner)
    n_members, canvas = weights.shape[-1], Canvas()
    unusable = canvas.put("Or", canvas.put("IsNaN", FORECASTS), canvas.put("IsInf", FORECASTS))
    missing = canvas.put("ReduceMax", canvas.put("Cast", unusable, to=FLOAT64), np.array([1, 2]), keepdims=1)
    share = canvas.put("Mul", weights, canvas.put("Sub", np.float64(1), missing))
    total = canvas.put("ReduceSum", share, np.array([-1]), keepdims=1)
    share = canvas.put("Div", share, canvas.put("Where", canvas.put("Greater", total, np.float64(0)), total, np.float64("nan")))
    is_direction = task.kind == "direction"
    values = _log_odds(canvas, FORECASTS, 2) if is_direction else FORECASTS
    kept = canvas.put("Where", canvas.put("Greater", missing, np.float64(0)), np.float64(0), values)
    average = canvas.put("ReduceSum", canvas.put("Mul", kept, share), np.array([-1]), keepdims=0)
    if is_direction:
        up = canvas.put("Sigmoid", canvas.at(average, 0, 2))
        forecast = canvas.classes(up, PROBABILITY_FLOOR)
        if calibration.curve_ != AS_IS:
            forecast = canvas.classes(canvas.put("Sigmoid", _bent(canvas, _odds(canvas, forecast), calibration)), PROBABILITY_FLOOR)
    else:
        forecast = _calibrated(canvas, canvas.ordered(average, task.n_outputs), calibration, task)
    shape = ("N", task.horizon, task.n_outputs)
    return canvas.model({FORECASTS: (np.float64, (*shape, n_members))}, forecast, shape)


def _weights(combiner: Combiner) -> np.ndarray:
    """Weights of the members, of each level where they differ: (1, 1, levels or 1, M)."""
    if isinstance(combiner, WeightedCombiner):
        return combiner.weights_M_[None, None, None]
    if isinstance(combiner, PerQuantile):
        return combiner.weights_GM_[combiner.group_Q_ if combiner.kind_ == "quantiles" else [0]][None, None]
    raise Undrawable("it is no weighted average of the members")


def _log_odds(canvas: Canvas, forecasts: str, axis: int) -> str:
    """Log-odds of up, bounded, in place of the two classes."""
    bounded = canvas.put("Clip", forecasts, np.float64(PROBABILITY_FLOOR), np.float64(1 - PROBABILITY_FLOOR))
    log = canvas.put("Log", bounded)
    return canvas.put("Sub", canvas.at(log, slice(1, 2), axis), canvas.at(log, slice(0, 1), axis))


def _odds(canvas: Canvas, forecast: str) -> str:
    """Log-odds of up of a forecast: NH."""
    return canvas.at(_log_odds(canvas, forecast, 2), 0, 2)


def _bent(canvas: Canvas, odds: str, calibration: Calibration) -> str:
    """Bend log-odds of up, as `curves.bend` does."""
    if calibration.curve_ not in INPUTS:
        raise Undrawable(f"its probabilities are bent by the curve {calibration.curve_}")
    parts = {"platt": lambda: [odds], "beta": lambda: [canvas.put("Neg", _softplus(canvas, canvas.put("Neg", odds))), _softplus(canvas, odds)]}
    *slopes, intercept = calibration.numbers_
    bent: str | np.float64 = intercept
    for slope, part in zip(slopes, parts[calibration.curve_](), strict=True):
        bent = canvas.put("Add", bent, canvas.put("Mul", slope, part))
    return str(bent)


def _softplus(canvas: Canvas, value: str) -> str:
    """Compute ln(1 + exp), which runtimes have in 32 bits only; log-odds are bounded."""
    return canvas.put("Log", canvas.put("Add", np.float64(1), canvas.put("Exp", value)))


def _calibrated(canvas: Canvas, forecast: str, calibration: Calibration, task: Task) -> str:
    """Shift the levels around the median, as `Calibration` does."""
    shift_HQ = calibration.shifts_BQ_[bucket_of(task.horizon, len(calibration.shifts_BQ_))]
    middle = calibration.median_
    width = canvas.put("Sub", canvas.at(forecast, slice(task.n_outputs - 1, None), 2), canvas.at(forecast, slice(0, 1), 2))
    shifted = canvas.put("Add", forecast, canvas.put("Mul", shift_HQ, width))
    median = canvas.at(forecast, slice(middle, middle + 1), 2)
    below = canvas.put("Min", canvas.at(shifted, slice(0, middle), 2), median)
    above = canvas.put("Max", canvas.at(shifted, slice(middle + 1, None), 2), median)
    return canvas.ordered(canvas.put("Concat", below, median, above, axis=2), task.n_outputs)

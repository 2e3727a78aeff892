"""Ridge as a graph: one matrix, and the table of its errors."""

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.forecasts import PROBABILITY_FLOOR
from ensemble_forecast.graphs import Canvas, Drawn, Feed, Held, Sizes
from ensemble_forecast.learners.linear.problem import BOUND
from ensemble_forecast.learners.linear.ridge import LARGEST_TARGET, Ridge


def of_ridge(learner: Ridge) -> Drawn:
    """Draw a ridge, from normalised windows to quantiles or probabilities."""
    task, horizon, n_inputs, canvas = Task(**learner.task_), learner.task_["horizon"], len(learner.mean_), Canvas()
    product = canvas.put("MatMul", canvas.put("Sub", "x", learner.mean_), learner.coefficients_)
    output = canvas.put("Add", canvas.put("Add", product, learner.intercept_), "shift")
    if task.kind == "direction":
        half = canvas.put("Mul", canvas.put("Add", output, np.float64(1)), np.float64(0.5))
        forecast = canvas.classes(canvas.put("Clip", half, np.float64(BOUND), np.float64(1 - BOUND)), PROBABILITY_FLOOR)
    else:
        bounded = canvas.put("Clip", output, np.float64(-LARGEST_TARGET), np.float64(LARGEST_TARGET))
        spread = canvas.put("Add", canvas.widened(bounded, 2), learner.table_)
        scaled = canvas.put("Mul", canvas.widened("scale", 1, 2), spread)
        forecast = canvas.ordered(canvas.put("Add", canvas.widened("base", 2), scaled), task.n_outputs)

    def feed(panel: Panel, origins: Origins) -> Feed:
        inputs = learner._inputs(panel, origins, task)
        given = {"x": inputs.x_NF, "shift": inputs.shift_NH, "base": inputs.base_NH, "scale": inputs.scale_N}
        return {name: np.asarray(given[name], dtype=float) for name in shapes}

    lags = [f"back_{back}" for back in range(learner.context_ - 1, -1, -1)]
    others = [f"covariate_{place}" for place in range(n_inputs - len(lags))]
    held: dict[str, Held] = {
        "x": {"holds": "the window before the origin, oldest step first, centred and scaled; then covariates", "columns": lags + others},
        "shift": {"holds": "what the known covariates add, in units of the scale; 0 without any"},
        "base": {"holds": f"the forecast to be corrected: {learner.base}"},
        "scale": {"holds": f"the unit of the window: {learner.scale}"},
    }
    shapes: dict[str, tuple[type, Sizes]] = {"x": (np.float64, ("N", n_inputs)), "shift": (np.float64, ("N", horizon))}
    if task.kind == "quantiles":
        shapes |= {"base": (np.float64, ("N", horizon)), "scale": (np.float64, ("N",))}
    return Drawn(canvas.model(shapes, forecast, ("N", horizon, task.n_outputs)), {name: held[name] for name in shapes}, feed)

"""Nets as graphs: from windows of history in the target's own unit to quantiles, scaling and base included, exported by torch."""

import copy
import logging
import warnings
from typing import Any

import numpy as np
import torch
from onnxscript import opset18

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.features.contexts import gather
from ensemble_forecast.graphs import IR_VERSION, OPSETS, OUTPUT, Drawn, Feed, Undrawable
from ensemble_forecast.learners.deep.inputs import PADDING_STEPS, View, Windows
from ensemble_forecast.learners.deep.loss import Loss
from ensemble_forecast.learners.deep.losses import loss_for
from ensemble_forecast.learners.deep.nets import NetLearner

ROWS = 11  # of the example that the export follows: no other size may be the same, or it is taken for this one
INPUTS = ("window", "steps", "base", "scale", "past", "known")
CPU = torch.device("cpu")


class FromHistory(torch.nn.Module):
    """A net from plain windows on: every window enters as if it were a series of its own, with room for the horizon after it."""

    def __init__(self, net: torch.nn.Module, loss: Loss, view: View, *, is_sorted: bool) -> None:
        super().__init__()
        self.net, self.loss, self.view, self.is_sorted = net, loss, view, is_sorted
        for name in ("past_mean_C", "past_std_C", "known_mean_K", "known_std_K"):
            self.register_buffer(name, torch.from_numpy(np.asarray(getattr(view, name), dtype=float)))

    def forward(
        self,
        window: torch.Tensor,
        steps: torch.Tensor,
        base: torch.Tensor,
        scale: torch.Tensor,
        past: torch.Tensor | None = None,
        known: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Forecast: float64 NHQ."""
        n_rows, horizon, length = window.shape[0], self.view.horizon, self.view.context
        place_N = torch.arange(n_rows)
        after_NH = window.new_zeros((n_rows, horizon))
        filled = torch.cat([window, after_NH], dim=1).flatten()
        windows = Windows(
            view=self.view,
            filled=filled,
            truth=filled,
            past=_standardised(past, self.past_mean_C, self.past_std_C, window.new_zeros((n_rows, length, 0)), (0, horizon)),
            known=_standardised(known, self.known_mean_K, self.known_std_K, window.new_zeros((n_rows, horizon, 0)), (length, 0)),
            row_N=place_N * (length + horizon) + length - 1,
            step_N=steps - 1,
            left_N=torch.zeros_like(steps),
            ahead_N=torch.full_like(steps, horizon),
            padding_N=window[:, 0],
            scale_N=scale,
            base_NH=base,
            least_step=0,  # any may reach back beyond the start of its series
        )
        batch = windows.inputs(place_N)
        forecast_NHQ = self.loss.forecast(self.net(batch.window_BLC, batch.extras_BE), batch)
        return forecast_NHQ.sort(dim=-1).values if self.is_sorted else forecast_NHQ


def of_net(learner: NetLearner) -> Drawn:
    """Draw a net.

    Raises
    ------
    Undrawable
        When a part of it has no counterpart in the format.
    """
    task, view = Task(**learner.task_), View(**learner.view_)
    if learner.loss == "student_t" and task.kind == "quantiles":
        raise Undrawable("the format has no quantile function of Student's t")
    loss = loss_for(task, learner.loss, learner.log_odds_)
    net = copy.copy(learner)._rebuilt(CPU)  # a module of its own: the one that forecasts was built in inference mode, and cannot be followed
    module = FromHistory(net, loss, view, is_sorted=task.kind == "quantiles").eval()

    def feed(panel: Panel, origins: Origins) -> Feed:
        return _feed(view, panel, origins)

    example = _example(view)
    rows = torch.export.Dim("N")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of packages that it could use besides
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the exporter's own insides
            program = torch.onnx.export(
                module,
                kwargs=example,
                dynamo=True,
                dynamic_shapes={name: {0: rows} if name in example else None for name in INPUTS},
                input_names=list(example),
                output_names=[OUTPUT],
                opset_version=OPSETS[""],
                custom_translation_table={torch.ops.aten.copysign.Tensor: _copysign},
                verbose=False,
            )
    except RuntimeError as error:  # what torch.onnx and torch.export raise is of this kind
        raise Undrawable(f"torch cannot export it: {_cause(error)}") from error
    assert program is not None
    model = program.model_proto
    model.ir_version = IR_VERSION
    held: dict[str, dict[str, Any]] = {
        "window": {"holds": "target up to the origin, oldest first, missing steps carried forward, before the start the mean of its first "
                            f"{PADDING_STEPS} values"},
        "steps": {"holds": "steps of history there are, at most the window's length"},
        "base": {"holds": f"the forecast to be corrected: {view.base}; the last value while there is no season"},
        "scale": {"holds": f"{view.growth:g} times the mean absolute difference at lag {view.noise_steps} over the whole history"},
        "past": {"holds": "past covariates of the window; NaN where unknown"},
        "known": {"holds": "covariates known ahead, of the steps after the origin; NaN where unknown"},
    }  # fmt: skip
    return Drawn(model, {name: held[name] for name in example}, feed)


def _cause(error: BaseException) -> str:
    """Say in one line what is at the bottom of an error: the exporter wraps it in advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{error}".strip().partition("\n")[0] or type(error).__name__


def _copysign(size: Any, sign: Any) -> Any:
    """Write torch.copysign, which its exporter does not know, in operators of the format."""
    size = opset18.Abs(size)
    return opset18.Where(opset18.Less(sign, opset18.Sub(sign, sign)), opset18.Neg(size), size)


def _standardised(values: torch.Tensor | None, mean: Any, spread: Any, none: torch.Tensor, room: tuple[int, int]) -> torch.Tensor:
    """Scale covariates as in training, with room before and after each row's steps: (rows, C)."""
    scaled = none if values is None else torch.nan_to_num((values - mean) / spread, posinf=0.0, neginf=0.0)
    return torch.nn.functional.pad(scaled.float(), (0, 0, *room)).flatten(0, 1)


def _feed(view: View, panel: Panel, origins: Origins) -> Feed:
    """Read the inputs off a panel."""
    windows, index_N = Windows.of(panel, origins, view, CPU), torch.arange(len(origins))
    window_NL = gather(panel.y_filled, panel, origins, view.context)
    row_NH = origins.rows(panel)[:, None] + np.arange(1, view.horizon + 1)
    inside_NH = row_NH < panel.offsets[origins.series + 1][:, None]
    known = panel.known[:, : len(view.known_mean_K)]
    feed = {
        "window": np.where(np.isnan(window_NL), windows.padding_N.numpy()[:, None], window_NL),
        "steps": np.minimum(origins.step + 1, view.context).astype(np.int64),
        "base": windows.inputs(index_N).base_BH.numpy(),
        "scale": windows.scale_N.numpy(),
        "past": gather(panel.past[:, : len(view.past_mean_C)], panel, origins, view.context),
        "known": np.where(inside_NH[..., None], known[np.where(inside_NH, row_NH, 0)], np.nan),
    }
    return {name: feed[name] for name in _example(view)}


def _example(view: View) -> dict[str, torch.Tensor]:
    """Make up inputs of the right shapes."""
    generator = torch.Generator().manual_seed(0)

    def numbers(*sizes: int) -> torch.Tensor:
        return torch.rand((ROWS, *sizes), generator=generator, dtype=torch.float64) + 1

    inputs = {"window": numbers(view.context), "steps": torch.full((ROWS,), view.context), "base": numbers(view.horizon), "scale": numbers()}
    covariates = {"past": (view.context, len(view.past_mean_C)), "known": (view.horizon, len(view.known_mean_K))}
    return inputs | {name: numbers(*sizes) for name, sizes in covariates.items() if sizes[1]}

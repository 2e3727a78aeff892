"""The verb export: members and combiner of a saved ensemble as graphs in the exchange format ONNX, for runtimes without Python.

A graph is written only if the reference runtime, fed from the study's own history, gives what the member forecasts itself. What cannot be
written is named with its reason. ``export.json`` describes every graph with its inputs; ``<member>.npz`` holds the inputs of the newest origin
of every series and the forecast that must come out of them. From the combiner's graph on (its calibration is in it) `predict` does two things
more, in Python: where there are few series the quantiles follow the errors since the fit, and forecasts are kept within plausible bounds.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd

from ensemble_forecast import atomic, graphs
from ensemble_forecast.data.frames import to_panel
from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.graph import FORECASTS, of_combiner
from ensemble_forecast.ensemble.model import Ensemble
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.contexts import MIN_STEPS, scale_at
from ensemble_forecast.features.sets import with_features
from ensemble_forecast.forecaster import EnsembleForecaster
from ensemble_forecast.graphs import Canvas, Drawn, Undrawable
from ensemble_forecast.learners.bagged import Bagged
from ensemble_forecast.learners.base import Learner, Showing
from ensemble_forecast.learners.transformed import LARGEST_EXPONENT, Transformed
from ensemble_forecast.registry import GRAPHS, NETS, find
from ensemble_forecast.saved import Saved

MOST_COMPARED = 100  # origins, evenly spread over the history
TOLERANCE = 1e-4  # units of the series' scale, or of probability: graphs compute in float32 where members do not always
COMBINER = "combiner"

Record = dict[str, Any]


def export(saved: Saved, frame: pd.DataFrame, folder: Path) -> Record:
    """Write the graphs of a saved ensemble to a folder.

    Parameters
    ----------
    frame
        History to compare on, with the columns of the study.

    Returns
    -------
    what ``export.json`` says: task, ``graphs`` (name, file, family, inputs, largest difference), ``left_out`` (name, family, reason), and
    ``members``, the order of the combiner's last axis.

    Raises
    ------
    BadInput
        When the frame is not usable, or no origin in it has enough history.
    """
    model, ensemble = saved.model, saved.model.ensemble_
    panel = read(model, frame)
    compared = Origins.between(np.full(panel.n_series, MIN_STEPS - 1), panel.ends_S).spread(MOST_COMPARED)
    if not len(compared):
        raise BadInput(f"an export is compared on history; no series of the {panel.n_series} has {MIN_STEPS} steps: give more")
    told: Record = {
        "study": saved.study, "kind": model.kind, "horizon": model.horizon, "freq": model.freq, "quantiles": list(model.quantiles),
        "target": model.target, "members": list(ensemble.members), "graphs": [], "left_out": [], "folder": str(folder),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for name, member in ensemble.members.items():
        try:
            drawn = draw(member)
            difference = _difference(drawn, member, panel, compared, ensemble.task)
        except Undrawable as reason:
            told["left_out"].append({"name": name, "family": _named(member), "reason": str(reason)})
            continue
        atomic.write_bytes(folder / f"{name}.onnx", drawn.model.SerializeToString())
        atomic.write_bytes(folder / f"{name}.npz", _example(drawn, member, panel))
        told["graphs"].append(_described(name, _named(member), drawn.model, drawn.inputs, difference) | _transform(member))
    _export_combiner(ensemble, panel, compared, folder, told)
    atomic.write_json(folder / "export.json", told)
    return told


def draw(learner: Learner) -> Drawn:
    """Draw a fitted learner, and the wrappers around it.

    Raises
    ------
    Undrawable
        When it is none of those that have a graph; the message says why.
    """
    if isinstance(learner, Transformed):
        inner = draw(learner.member_)
        is_class = learner.kind_ == "direction"
        return graphs.continued(
            inner,
            lambda canvas, forecast: forecast if is_class else _inverted(canvas, forecast, learner.transform, learner.scale_),
            lambda panel, origins: inner.feed(learner._panel(panel), learner._origins(origins)),
        )
    if isinstance(learner, Showing):
        shown = draw(learner.member_)
        return graphs.continued(shown, lambda _, forecast: forecast, lambda panel, origins: shown.feed(learner._shown(panel), origins))
    if isinstance(learner, Bagged):
        return graphs.averaged([draw(copy) for copy in learner.members_])
    if learner.family not in GRAPHS:
        raise Undrawable(f"{learner.family} has no graph; nets and {', '.join(name for name in GRAPHS if name not in NETS)} have one")
    drawn: Drawn = find(learner.family, "graphs")(learner)
    return drawn


def read(model: EnsembleForecaster, frame: pd.DataFrame) -> Panel:
    """Read a frame as the model does: what the graphs' inputs are computed from."""
    return with_features(to_panel(frame, model.columns_, new=True), model.manifest_["features"])


def _export_combiner(ensemble: Ensemble, panel: Panel, origins: Origins, folder: Path, told: Record) -> None:
    """Write the combiner with its calibration, compared on the members' own forecasts, of which some are left out."""
    combiner, task = ensemble.combiner, ensemble.task
    try:
        model = of_combiner(combiner, ensemble.calibration, task)
        forecasts_NHQM = ensemble.asked(panel, origins, Deadline.never())
        forecasts_NHQM[::3, ..., 0] = np.nan
        ours_NHQ = ensemble.calibration.apply(combiner.combine(forecasts_NHQM, ensemble.rows(panel, origins)))
        difference = _compare(ours_NHQ, lambda served: graphs.run(model, {FORECASTS: forecasts_NHQM[served]}), panel, origins, task)
    except Undrawable as reason:
        told["left_out"].append({"name": COMBINER, "family": combiner.family, "reason": str(reason)})
        return
    held = {FORECASTS: {"holds": "forecasts of the members, in the order of `members`; NaN where one does not serve"}}
    atomic.write_bytes(folder / f"{COMBINER}.onnx", model.SerializeToString())
    told["graphs"].append(_described(COMBINER, combiner.family, model, held, difference))


def _difference(drawn: Drawn, member: Learner, panel: Panel, origins: Origins, task: Task) -> float:
    """Compare a graph with its member."""
    ours_NHQ = member.predict(panel, origins, Deadline.never())
    return _compare(ours_NHQ, lambda served: graphs.run(drawn.model, drawn.feed(panel, origins.take(served))), panel, origins, task)


def _compare(ours_NHQ: np.ndarray, theirs_at: Callable[[np.ndarray], np.ndarray], panel: Panel, origins: Origins, task: Task) -> float:
    """Return the largest difference where forecasts are served, in units of the series' scale.

    Raises
    ------
    Undrawable
        When it is too large, or nothing is served.
    """
    served_N = np.isfinite(ours_NHQ).all(axis=(1, 2))
    if not served_N.any():
        raise Undrawable("nothing is served in this history: there is nothing to compare its graph on")
    unit_N = scale_at(panel, origins, task.season_length) if task.kind == "quantiles" else np.ones(len(origins))
    away_NHQ = np.abs(theirs_at(served_N) - ours_NHQ[served_N]) / unit_N[served_N, None, None]
    difference = float(away_NHQ.max())
    if not difference <= TOLERANCE:
        raise Undrawable(f"its graph differs from it by {difference:.1e}, and {TOLERANCE:g} is allowed")
    return difference


def _described(name: str, family: str, model: onnx.ModelProto, held: dict[str, Any], difference: float) -> Record:
    """Describe a graph: its file, and type, shape and meaning of every input."""
    inputs = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = [size.dim_param or size.dim_value for size in tensor.shape.dim]
        inputs[value.name] = {"type": onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, "shape": shape, **held[value.name]}
    return {"name": name, "file": f"{name}.onnx", "family": family, "largest_difference": difference, "inputs": inputs}


def _inverted(canvas: Canvas, forecast: str, transform: str, scale: float) -> str:
    """Map quantiles back, as `Transformed` does."""
    bounded = canvas.put("Clip", forecast, np.float64(-LARGEST_EXPONENT), np.float64(LARGEST_EXPONENT))
    grown = canvas.put("Exp", bounded)
    if transform == "asinh":
        grown = canvas.put("Mul", np.float64(0.5), canvas.put("Sub", grown, canvas.put("Exp", canvas.put("Neg", bounded))))
    return canvas.put("Mul", grown, np.float64(scale))


def _transform(member: Learner) -> Record:
    """Say what the inputs of a graph are told in: the target itself, or a transform of it."""
    if not isinstance(member, Transformed):
        return {"transform": None}
    rule = {"log": "log(y / scale)", "asinh": "asinh(y / scale)"}[member.transform]
    return {"transform": {"name": member.transform, "scale": member.scale_, "inputs": f"of {rule}; the forecast is of y"}}


def _example(drawn: Drawn, member: Learner, panel: Panel) -> bytes:
    """Pack the inputs of the newest origin of every series with the member's forecasts; nothing where it serves none."""
    forecast_NHQ = member.predict(panel, Origins.ends(panel), Deadline.never())
    served_N = np.isfinite(forecast_NHQ).all(axis=(1, 2))
    written = io.BytesIO()
    inputs = drawn.feed(panel, Origins.ends(panel).take(served_N)) if served_N.any() else {}
    np.savez(written, allow_pickle=False, **inputs, **{graphs.OUTPUT: forecast_NHQ[served_N]})
    return written.getvalue()


def _named(member: Learner) -> str:
    """Name the family of a member, and of what it holds."""
    inner = getattr(member, "member_", None)
    return member.family if inner is None else f"{member.family} {_named(inner)}"

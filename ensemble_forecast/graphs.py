"""Graphs in the exchange format ONNX: drawn node by node, run by the reference runtime, and compared with what they stand for.

A graph is the core of a fitted learner: from its design matrix or window, which whoever feeds it prepares, to quantiles (or probabilities of
down and up) in the target's own unit. Axes as everywhere: N origins, H steps ahead, Q levels, M members, F columns, L steps of a window.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnx.compose
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, NotImplemented, RuntimeException

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.errors import EnsembleForecastError

OPSETS = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 10  # of opset 18 and later; what older runtimes read
OUTPUT = "forecast"
FLOAT64 = int(onnx.TensorProto.DOUBLE)
UNABLE = (Fail, InvalidArgument, InvalidGraph, NotImplemented, RuntimeException)

Feed = dict[str, np.ndarray]
Held = dict[str, Any]  # what an input holds, in words and names of columns
Sizes = tuple[int | str, ...]  # of the axes of an input; those that may vary have a name


class Undrawable(EnsembleForecastError):
    """What a learner does cannot be written as a graph."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A graph, what its inputs hold, and what computes them of a panel.

    Parameters
    ----------
    inputs
        By name of the input: ``holds``, and ``columns`` where it has any.
    feed
        Inputs at some origins, each of which has enough history.
    """

    model: onnx.ModelProto
    inputs: dict[str, Held]
    feed: Callable[[Panel, Origins], Feed]


class Canvas:
    """A graph while it is drawn; arrays in place of names become constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def put(self, operator: str, *inputs: str | np.ndarray | np.generic, domain: str = "", outputs: int = 1, **attributes: Any) -> str:
        """Add a node; returns the name of its first output."""
        names = [value if isinstance(value, str) else self._constant(np.asarray(value)) for value in inputs]
        made = [f"{operator}_{len(self.nodes)}" + "'" * place for place in range(outputs)]
        self.nodes.append(onnx.helper.make_node(operator, names, made, domain=domain, **attributes))
        return made[0]

    def at(self, values: str, index: int | slice, axis: int) -> str:
        """Take one place of an axis, or a stretch of it that is kept as an axis."""
        if isinstance(index, int):
            return self.put("Gather", values, np.int64(index), axis=axis)
        begin, end = index.start or 0, 2**31 if index.stop is None else index.stop
        return self.put("Slice", values, np.array([begin]), np.array([end]), np.array([axis]))

    def widened(self, values: str, *axes: int) -> str:
        """Insert axes of length one."""
        return self.put("Unsqueeze", values, np.array(axes))

    def ordered(self, values: str, size: int) -> str:
        """Sort the last axis, of so many values."""
        return self.put("TopK", values, np.array([size]), axis=-1, largest=0, sorted=1, outputs=2)

    def classes(self, up: str, floor: float) -> str:
        """Lay probabilities of up out as those of (down, up), bounded away from 0 and 1."""
        both = self.put("Concat", self.widened(self.put("Sub", np.float64(1), up), -1), self.widened(up, -1), axis=-1)
        bounded = self.put("Clip", both, np.float64(floor), np.float64(1 - floor))
        return self.put("Div", bounded, self.put("ReduceSum", bounded, np.array([-1]), keepdims=1))

    def model(self, inputs: Mapping[str, tuple[type, Sizes]], output: str, shape: Sizes) -> onnx.ModelProto:
        """Frame the graph: inputs with type and shape, and the float64 output, which is called ``forecast``."""
        self.nodes.append(onnx.helper.make_node("Identity", [output], [OUTPUT]))
        given = [_value(name, kind, sizes) for name, (kind, sizes) in inputs.items()]
        graph = onnx.helper.make_graph(self.nodes, "forecast", given, [_value(OUTPUT, np.float64, shape)], self.constants)
        opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="ensemble_forecast")

    def _constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name


def continued(drawn: Drawn, draw: Callable[[Canvas, str], str], feed: Callable[[Panel, Origins], Feed]) -> Drawn:
    """Draw on after the output of a graph, and feed it otherwise."""
    model, canvas = onnx.ModelProto(), Canvas()
    model.CopyFrom(drawn.model)
    before = f"{OUTPUT}_before"
    for node in model.graph.node:
        node.output[:] = [before if name == OUTPUT else name for name in node.output]
        node.input[:] = [before if name == OUTPUT else name for name in node.input]
    last = draw(canvas, before)
    for node in canvas.nodes:
        node.name = f"after_{node.output[0]}"
    renamed = {name: f"after_{name}" for node in canvas.nodes for name in node.output} | {
        each.name: f"after_{each.name}" for each in canvas.constants
    }
    for node in canvas.nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [OUTPUT if name == last else renamed[name] for name in node.output]
    for each in canvas.constants:
        each.name = renamed[each.name]
    model.graph.node.extend(canvas.nodes)
    model.graph.initializer.extend(canvas.constants)
    return replace(drawn, model=model, feed=feed)


def averaged(copies: list[Drawn]) -> Drawn:
    """Draw the mean of some graphs, each with inputs of its own: ``copy_0_x`` and so on."""
    models = [onnx.compose.add_prefix(copy.model, _prefix(place)) for place, copy in enumerate(copies)]
    canvas = Canvas()
    total = canvas.put("Sum", *(model.graph.output[0].name for model in models))
    canvas.put("Identity", canvas.put("Div", total, np.float64(len(copies))))
    canvas.nodes[-1].output[:] = [OUTPUT]
    graph = onnx.helper.make_graph(
        [node for model in models for node in model.graph.node] + canvas.nodes,
        "forecast",
        [value for model in models for value in model.graph.input],
        [copies[0].model.graph.output[0]],
        [constant for model in models for constant in model.graph.initializer] + canvas.constants,
    )
    joined = onnx.helper.make_model(graph, opset_imports=copies[0].model.opset_import, ir_version=IR_VERSION, producer_name="ensemble_forecast")

    def feed(panel: Panel, origins: Origins) -> Feed:
        return {_prefix(place) + name: values for place, copy in enumerate(copies) for name, values in copy.feed(panel, origins).items()}

    return Drawn(joined, {_prefix(place) + name: held for place, copy in enumerate(copies) for name, held in copy.inputs.items()}, feed)


def _prefix(place: int) -> str:
    return f"copy_{place}_"


def run(model: onnx.ModelProto, feed: Feed) -> np.ndarray:
    """Run a graph on one thread of the CPU: its forecast.

    Raises
    ------
    Undrawable
        When the runtime lacks an operator, or for this type.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        forecast: np.ndarray = session.run([OUTPUT], feed)[0]
    except UNABLE as error:
        raise Undrawable(f"the runtime cannot run it: {error}".partition("\n")[0]) from error
    return forecast


def _value(name: str, kind: type, shape: Sizes) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)

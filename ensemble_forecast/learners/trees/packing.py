"""scikit-learn estimators as bytes and back: packed by skops, rebuilt only from types on a list; the only module that knows skops.

skops trusts the estimators of scikit-learn and the types of numpy and scipy that they are made of. Trees and optimisers inside them it does not,
and we do: their state is arrays and numbers. What else an artefact holds must be allowed by whoever loads it.
"""

import io
import json
import math
import zipfile
from typing import Any

import numpy as np
import skops.io
from skops.io.exceptions import UnsupportedTypeException, UntrustedTypesFoundException

from ensemble_forecast.errors import BadInput

TRUSTED = (
    "ensemble_forecast.learners.trees.preparation.Bins",
    "ensemble_forecast.learners.trees.preparation.Preparation",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
)
DAMAGED = (
    zipfile.BadZipFile,
    UntrustedTypesFoundException,
    UnsupportedTypeException,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    ImportError,
    EOFError,
    RecursionError,
    NotImplementedError,
    MemoryError,
    OSError,
)
DAWN = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip file knows
SCHEMA = "schema.json"
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def pack(estimators: list[Any]) -> np.ndarray:
    """Turn fitted estimators into bytes, uint8 (n,); the same estimators give the same bytes."""
    return np.frombuffer(_timeless(skops.io.dumps(estimators)), dtype=np.uint8).copy()


def unpack(packed: np.ndarray, allow: tuple[str, ...] = ()) -> list[Any]:
    """Rebuild what `pack` packed; nothing that is not on a list is imported, constructed or called.

    Parameters
    ----------
    packed
        As from `pack`.
    allow
        Types to trust besides those of this module and of skops, as ``"package.module:Class"``.

    Raises
    ------
    BadInput
        When the bytes hold another type, which the message names, or are no packed estimators.
    """
    trusted = [*TRUSTED, *(name.replace(":", ".") for name in allow)]
    content = packed.tobytes()
    _refuse_bombs(content)
    try:
        foreign = sorted(set(skops.io.get_untrusted_types(data=content)) - set(trusted))
        estimators = [] if foreign else skops.io.loads(content, trusted=trusted)
    except DAMAGED as error:
        raise BadInput(
            f"a packed estimator is damaged, or from another version of scikit-learn or skops ({error}); make the artefact again"
        ) from error
    if foreign:
        raise BadInput(_refusal(foreign))
    if not isinstance(estimators, list) or not estimators:
        raise BadInput(f"packed estimators must be a list of at least one; got {estimators!r}: make the artefact again")
    return estimators


def _refuse_bombs(content: bytes) -> None:
    """Refuse an archive that would unfold to more than it is: `pack` compresses nothing, and an array takes the bytes that its header says.

    Raises
    ------
    BadInput
        When it is no archive, or one that grows.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(entry.file_size for entry in entries) > len(content):
                raise ValueError("it unfolds to more than it is")
            for entry in entries:
                if entry.filename.endswith(".npy"):
                    with archive.open(entry) as file:
                        shape, _, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
                        if math.prod(shape) * dtype.itemsize > entry.file_size:
                            raise ValueError(f"{entry.filename} is said to have the shape {shape}, and has {entry.file_size} bytes")
    except DAMAGED as error:
        raise BadInput(f"a packed estimator is damaged ({error}); make the artefact again") from error


def _refusal(foreign: list[str]) -> str:
    """Say which types are not allowed, and how to allow them."""
    names = ", ".join(repr(":".join(name.rsplit(".", 1))) for name in foreign)
    return f"a packed estimator holds {', '.join(foreign)}, which loading does not trust; if you do: load(folder, allow=[{names}])"


def _timeless(content: bytes) -> bytes:
    """Rewrite a skops archive without clock and addresses: skops numbers objects by where they lie in memory."""
    number: dict[str, int] = {}

    def numbered(node: Any) -> Any:
        """Replace addresses by numbers in order of appearance."""
        if isinstance(node, list):
            return [numbered(item) for item in node]
        if not isinstance(node, dict):
            return node
        renamed = {key: numbered(item) for key, item in node.items()}
        if "__id__" in renamed:
            renamed["__id__"] = number.setdefault(str(node["__id__"]), len(number))
        if isinstance(renamed.get("file"), str):
            renamed["file"] = file_name(node["file"])
        return renamed

    def file_name(name: str) -> str:
        """Rename a file that bears an address."""
        stem, dot, suffix = name.partition(".")
        return f"{number.setdefault(stem, len(number))}{dot}{suffix}"

    rewritten = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(rewritten, "w") as new:
        schema = json.dumps(numbered(json.loads(old.read(SCHEMA))))
        for name in old.namelist():
            if name != SCHEMA:
                new.writestr(zipfile.ZipInfo(file_name(name), DAWN), old.read(name))
        new.writestr(zipfile.ZipInfo(SCHEMA, DAWN), schema)
    return rewritten.getvalue()

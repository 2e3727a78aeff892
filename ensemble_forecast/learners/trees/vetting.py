"""The bytes of a booster, looked through before the library reads them: it believes what they say, and damaged ones make it crash.

XGBoost writes Universal Binary JSON (draft 12, https://ubjson.org), big-endian, arrays with type and length ahead.
"""

import struct
from typing import Any

import numpy as np

from ensemble_forecast.errors import BadInput

NUMBERS = {
    marker: np.dtype(f">{kind}") for marker, kind in (("i", "i1"), ("U", "u1"), ("I", "i2"), ("l", "i4"), ("L", "i8"), ("d", "f4"), ("D", "f8"))
}
LENGTHS = {"i": 1, "U": 1, "I": 2, "l": 4, "L": 8}  # bytes of whole numbers
WORDS = {"T": True, "F": False, "Z": None}
PER_NODE = (
    "base_weights",
    "default_left",
    "left_children",
    "loss_changes",
    "parents",
    "right_children",
    "split_conditions",
    "split_indices",
    "split_type",
    "sum_hessian",
)
NO_PARENT = 2**31 - 1
DEEPEST = 32  # nested values; a booster has about ten


def vet(written: np.ndarray) -> None:
    """Refuse bytes that are no booster of trees, or one whose trees point to what is not there.

    Parameters
    ----------
    written
        uint8, as ``boosting.to_bytes`` writes it.

    Raises
    ------
    BadInput
        Children come after their parents, columns and outputs are those there are, and numbers are finite; else.
    """
    try:
        reader = _Reader(written.tobytes())
        learner = reader.value(0)["learner"]
        if reader.place != len(reader.content):
            raise ValueError(f"{len(reader.content) - reader.place} bytes follow its end")
        booster, shape = learner["gradient_booster"], learner["learner_model_param"]
        if booster["name"] != "gbtree":
            raise ValueError(f"it is a {booster['name']!r}, not gbtree")
        model, n_columns = booster["model"], int(shape["num_feature"])
        n_outputs = max(int(shape["num_class"]), int(shape["num_target"]), 1)
        trees, tree_info = model["trees"], np.asarray(model["tree_info"])
        if not (int(model["gbtree_model_param"]["num_trees"]) == len(trees) == len(tree_info)):
            raise ValueError("its trees are not as many as it says")
        if not ((tree_info >= 0) & (tree_info < n_outputs)).all():
            raise ValueError("a tree speaks for an output that there is not")
        _refuse_bounds(np.asarray(model["iteration_indptr"]), len(trees))
        if [tree["id"] for tree in trees] != list(range(len(trees))):
            raise ValueError("its trees are not in order")
        for tree in trees:
            _refuse_misgrown(tree, n_columns, n_outputs)
    except (ArithmeticError, LookupError, TypeError, UnicodeDecodeError, ValueError, struct.error) as error:
        raise BadInput(f"the bytes of a booster are damaged ({error}); make the artefact again") from error


def _refuse_bounds(first_R: np.ndarray, n_trees: int) -> None:
    """Refuse rounds that do not part the trees."""
    if not (len(first_R) and first_R[0] == 0 and first_R[-1] == n_trees and (np.diff(first_R) >= 0).all()):
        raise ValueError("its rounds do not part its trees")


def _refuse_misgrown(tree: dict[str, Any], n_columns: int, n_outputs: int) -> None:
    """Refuse nodes that are no tree; a leaf holds one number, or one for each output and then its place among the leaves as right child."""
    n_nodes, width = int(tree["tree_param"]["num_nodes"]), max(int(tree["tree_param"]["size_leaf_vector"]), 1)
    n_leaves = (n_nodes + 1) // 2
    lengths = dict.fromkeys(PER_NODE, n_nodes)
    if width > 1:
        lengths |= {"base_weights": n_nodes * width, "leaf_weights": n_leaves * width}
    if n_nodes < 1 or width not in {1, n_outputs} or any(np.shape(tree[name]) != (length,) for name, length in lengths.items()):
        raise ValueError("a tree has not as many nodes as it says")
    if np.any(tree["split_type"]) or any(len(tree[name]) for name in tree if name.startswith("categories")):
        raise ValueError("a tree splits by categories, which none of ours does")
    left, right, column = (np.asarray(tree[name], dtype=np.int64) for name in ("left_children", "right_children", "split_indices"))
    place = np.arange(n_nodes)
    inner = (left > place) & (right > place) & (left < n_nodes) & (right < n_nodes) & (column >= 0) & (column < n_columns)
    is_leaf = (left == -1) & ((right == -1) if width == 1 else (right >= 0) & (right < n_leaves))
    if not (inner | is_leaf).all():
        raise ValueError("a tree leads to nodes, leaves or columns that there are not")
    parent = np.full(n_nodes, NO_PARENT if width == 1 else -1)
    parent[left[inner]] = parent[right[inner]] = place[inner]
    if not np.array_equal(parent, tree["parents"]) or np.count_nonzero(inner) * 2 + 1 != n_nodes:
        raise ValueError("a tree has parents that are not those of its children")
    numbers = [tree["split_conditions"]] if width == 1 else [np.asarray(tree["split_conditions"])[inner], tree["leaf_weights"]]
    if not all(np.isfinite(each).all() for each in numbers):
        raise ValueError("a tree holds NaN or infinity")


class _Reader:
    """Reads one value after the other, and never beyond the end."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def value(self, depth: int) -> Any:
        """Read a value by its marker."""
        if depth > DEEPEST:
            raise ValueError("its values are nested too deeply")
        marker = self._marker()
        if marker in WORDS:
            return WORDS[marker]
        if marker in NUMBERS:
            return self._numbers(marker, 1)[0].item()
        if marker == "S":
            return self._text()
        if marker == "{":
            return self._object(depth)
        if marker == "[":
            return self._array(depth)
        raise ValueError(f"byte {self.place} is {marker!r}, which begins no value")

    def _take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.content) - self.place:
            raise ValueError(f"{count} bytes are said to follow byte {self.place}, and do not")
        self.place += count
        return self.content[self.place - count : self.place]

    def _marker(self) -> str:
        return self._take(1).decode("latin-1")

    def _numbers(self, marker: str, count: int) -> np.ndarray:
        dtype = NUMBERS[marker]
        return np.frombuffer(self._take(count * dtype.itemsize), dtype=dtype)

    def _count(self) -> int:
        marker = self._marker()
        if marker not in LENGTHS:
            raise ValueError(f"byte {self.place} gives no length")
        return int.from_bytes(self._take(LENGTHS[marker]), "big", signed=marker != "U")

    def _text(self) -> str:
        return self._take(self._count()).decode()

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.content[self.place : self.place + 1] != b"}":
            key = self._text()
            if key in found:
                raise ValueError(f"{key!r} is said twice")
            found[key] = self.value(depth + 1)
        self.place += 1
        return found

    def _array(self, depth: int) -> Any:
        ahead = self.content[self.place : self.place + 1]
        if ahead == b"$":
            self.place += 1
            marker = self._marker()
            if self._marker() != "#" or marker not in NUMBERS:
                raise ValueError(f"byte {self.place} gives no length, or a type that is no number")
            return self._numbers(marker, self._count())
        if ahead == b"#":
            self.place += 1
            return [self.value(depth + 1) for _ in range(min(self._count(), len(self.content)))]
        found = []
        while self.content[self.place : self.place + 1] != b"]":
            found.append(self.value(depth + 1))
        self.place += 1
        return found

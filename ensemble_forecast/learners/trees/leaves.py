"""Grown trees as plain arrays: which leaf a row falls into, and what the training targets in each leaf looked like."""

from typing import Any

import numpy as np

Nodes = dict[str, np.ndarray]  # feature (-1: leaf), threshold, left (a leaf's own number in a leaf), right, roots (one a tree)


def flatten(estimators: list[Any]) -> Nodes:
    """Join scikit-learn's trees into one set of arrays with one numbering of nodes and one of leaves.

    A threshold is rounded down to float32: for float32 features ``x <= t`` then decides exactly as it does with the float64 threshold.
    """
    parts: dict[str, list[np.ndarray]] = {"feature": [], "threshold": [], "left": [], "right": [], "roots": []}
    n_nodes = n_leaves = 0
    for estimator in estimators:
        tree = estimator.tree_
        is_leaf = tree.children_left < 0
        number = np.cumsum(is_leaf) - 1 + n_leaves
        near = tree.threshold.astype(np.float32)
        parts["feature"].append(np.where(is_leaf, -1, tree.feature).astype(np.int32))
        parts["threshold"].append(np.where(near > tree.threshold, np.nextafter(near, np.float32(-np.inf)), near))
        parts["left"].append(np.where(is_leaf, number, tree.children_left + n_nodes).astype(np.int32))
        parts["right"].append(np.where(is_leaf, number, tree.children_right + n_nodes).astype(np.int32))
        parts["roots"].append(np.array([n_nodes], dtype=np.int32))
        n_nodes, n_leaves = n_nodes + tree.node_count, n_leaves + int(is_leaf.sum())
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def leaves_of(nodes: Nodes, x_RF: np.ndarray) -> np.ndarray:
    """Drop rows down every tree: number of the leaf each lands in, int32 (R, trees)."""
    n_trees = len(nodes["roots"])
    node = np.tile(nodes["roots"], len(x_RF))
    walking = np.arange(len(node))
    while len(walking):
        here = node[walking]
        feature = nodes["feature"][here]
        inner = feature >= 0
        walking, here, feature = walking[inner], here[inner], feature[inner]
        goes_left = x_RF[walking // n_trees, feature] <= nodes["threshold"][here]
        node[walking] = np.where(goes_left, nodes["left"][here], nodes["right"][here])
    return nodes["left"][node].reshape(-1, n_trees)


def refuse_misgrown(nodes: Nodes, n_leaves: int, n_features: int) -> None:
    """Refuse arrays that are no trees: children come after their parents, so that every walk down ends, and in a leaf that there is.

    Raises
    ------
    ValueError
        When they are not.
    """
    feature, left, right, roots = (nodes[name] for name in ("feature", "left", "right", "roots"))
    if not (len(feature) == len(nodes["threshold"]) == len(left) == len(right)) or not all(array.ndim == 1 for array in nodes.values()):
        raise ValueError("the arrays of its nodes differ in length")
    inner, place = feature >= 0, np.arange(len(feature))
    later = (left > place) & (right > place) & (left < len(place)) & (right < len(place)) & (feature < n_features)
    sound = np.where(inner, later, (left >= 0) & (left < n_leaves))
    if not (sound.all() and len(roots) and (roots >= 0).all() and (roots < len(place)).all()):
        raise ValueError("its nodes are no trees")


def leaf_quantiles(leaf_R: np.ndarray, target_R: np.ndarray, n_leaves: int, quantiles: tuple[float, ...]) -> np.ndarray:
    """Quantiles of the targets in each leaf at positions (n + 1) q: (leaves, Q).

    These positions are unbiased for small leaves: the usual ones lie too near to the median by about 1 / n.
    """
    order = np.lexsort((target_R, leaf_R))
    sorted_R = target_R[order]
    count = np.bincount(leaf_R, minlength=n_leaves)
    first = np.cumsum(count) - count
    position_LQ = np.clip((count[:, None] + 1) * np.asarray(quantiles) - 1, 0, np.maximum(count[:, None] - 1, 0))
    below_LQ = np.floor(position_LQ).astype(np.int64)
    above_LQ = np.minimum(below_LQ + 1, count[:, None] - 1)
    share_LQ = position_LQ - below_LQ
    return (1 - share_LQ) * sorted_R[first[:, None] + below_LQ] + share_LQ * sorted_R[first[:, None] + above_LQ]


def average(table_LQ: np.ndarray, leaf_RT: np.ndarray) -> np.ndarray:
    """Average the leaves' entries over the trees, tree by tree, so that a row's rounding does not depend on the other rows: float64 (R, Q)."""
    total_RQ = np.zeros((len(leaf_RT), table_LQ.shape[1]))
    for leaf_R in leaf_RT.T:
        total_RQ += table_LQ[leaf_R]
    return total_RQ / leaf_RT.shape[1]

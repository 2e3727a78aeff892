"""When to stop a trial between two windows, by name; only trials of one family are compared, for one that is behind may be what an ensemble lacks.

Most rules say what the mean loss must not exceed after each window, the `bars`. "forgiving", the default, stops a configuration whose running mean
is worse than the worst window of the incumbent, the best of the family. It led to faster convergence on nearly all data sets, where stopping as
soon as the mean falls behind did not (Bergman et al. 2024, arXiv:2405.03389). One departure: where the windows are alike, the rule alone would stop
trials that are two percent behind, and these are still worth their place in an ensemble, which prunes at 1.15 times the best loss. So nothing
within that factor is stopped.
"""

import math
from collections.abc import Sequence

import numpy as np

STILL_USEFUL = 1.15
HALVING = 3  # of the trials that reached a window, one in so many goes on
SIGNIFICANCE = 0.05  # of the signed-rank test
LEAST_SERIES = 6  # that differ, or the test cannot tell

Windows = Sequence[float | None]  # loss of a trial in each window so far; None where there was nothing to score
Bars = list[float | None]  # by window: the mean loss that stops a trial; None: nothing does

FORGIVING, HALVED, HYPERBAND, WILCOXON, NONE = "forgiving", "successive_halving", "hyperband", "wilcoxon", "none"
NAMES = (FORGIVING, HALVED, HYPERBAND, WILCOXON, NONE)


def bars(name: str, rivals: Sequence[Windows], n_windows: int, turn: int = 0) -> Bars:
    """Say after each window but the last what mean loss stops a trial.

    Parameters
    ----------
    name
        "forgiving"; "successive_halving": the best third goes on (Jamieson and Talwalkar 2016, arXiv:1502.07943); "hyperband": so it does, but each
        trial in turn begins to be judged a window later (Li et al. 2018, arXiv:1603.06560); "wilcoxon" and "none": no bar.
    rivals
        Losses by window of the trials of the family that ended.
    turn
        Place of the trial among those of its family.

    >>> bars("forgiving", [[0.8, 1.2, None], [1.5, 0.9, 1.0]], 3), bars("forgiving", [[1.0, 1.0]], 2), bars("forgiving", [], 3)
    ([1.2, 1.2], [1.15], [None, None])
    >>> bars("successive_halving", [[1.0], [2.0], [3.0], [4.0]], 2), bars("hyperband", [[1.0], [2.0], [3.0]], 3, turn=1)
    ([2.0], [None, None])
    """
    if name == FORGIVING:
        return [_forgiving(rivals)] * (n_windows - 1)
    if name in {HALVED, HYPERBAND}:
        first = turn % n_windows if name == HYPERBAND else 0
        return [None if window < first else _best_third(rivals, window + 1) for window in range(n_windows - 1)]
    return [None] * (n_windows - 1)


def clearly_worse(own_N: np.ndarray, other_N: np.ndarray, series_N: np.ndarray) -> bool:
    """Whether a trial is behind another one on the same rows, by the signed-rank test over series (Wilcoxon 1945, doi:10.2307/3001968)."""
    from scipy.stats import wilcoxon  # noqa: PLC0415 - half a second to import, at the start of every worker

    behind_N = own_N - other_N
    known_N = np.isfinite(behind_N)
    count_S = np.bincount(series_N[known_N])
    behind_S = np.bincount(series_N[known_N], behind_N[known_N])[count_S > 0] / count_S[count_S > 0]
    if np.count_nonzero(behind_S) < LEAST_SERIES:
        return False
    return bool(wilcoxon(behind_S, alternative="greater").pvalue < SIGNIFICANCE)


def mean(windows: Windows) -> float:
    """Mean over the windows that had anything to score; infinite where none had."""
    losses = [loss for loss in windows if loss is not None]
    return math.fsum(losses) / len(losses) if losses else math.inf


def _forgiving(rivals: Sequence[Windows]) -> float | None:
    """Return the worst window of the best rival, or a little above its mean."""
    furthest = max((len(windows) for windows in rivals), default=0)
    complete = [windows for windows in rivals if len(windows) == furthest and furthest]
    best = min(complete, key=mean, default=None)
    losses = [loss for loss in best or () if loss is not None]
    return max(*losses, STILL_USEFUL * mean(losses)) if losses else None


def _best_third(rivals: Sequence[Windows], n_windows: int) -> float | None:
    """Return the worst running mean that is still in the best third; None while too few have come so far."""
    means = sorted(mean(windows[:n_windows]) for windows in rivals if len(windows) >= n_windows)
    return means[len(means) // HALVING] if len(means) >= HALVING else None

"""When to stop a trial between two windows.

The forgiving rule: stop a configuration after a window whose running mean is worse than the worst window of the incumbent. It led to faster
convergence on nearly all data sets, where stopping as soon as the mean falls behind did not (Bergman et al. 2024, arXiv:2405.03389).
The incumbent is the best of the same family: a family that is behind is kept for what it adds to an ensemble.

One departure: where the windows are alike, the rule alone would stop trials that are two percent behind, and these are still worth their place
in an ensemble, which prunes at 1.15 times the best loss. So nothing within that factor is stopped.
"""

import math
from collections.abc import Sequence

STILL_USEFUL = 1.15


def bar(windows_of_incumbent: Sequence[float | None] | None) -> float | None:
    """Loss above which a running mean is hopeless; None before there is an incumbent.

    >>> bar([0.8, 1.2, None]), bar([1.0, 1.0]), bar(None)
    (1.2, 1.15, None)
    """
    losses = [loss for loss in windows_of_incumbent or () if loss is not None]
    return max(*losses, STILL_USEFUL * mean(losses)) if losses else None


def hopeless(windows: Sequence[float | None], stop_above: float | None) -> bool:
    """Whether a trial with these window losses so far should stop.

    >>> hopeless([1.0, 1.6], 1.2), hopeless([1.0, 1.3], 1.2), hopeless([9.0], None)
    (True, False, False)
    """
    return stop_above is not None and mean(windows) > stop_above


def mean(windows: Sequence[float | None]) -> float:
    """Mean over the windows that had anything to score; infinite where none had."""
    losses = [loss for loss in windows if loss is not None]
    return math.fsum(losses) / len(losses) if losses else math.inf

"""Whether features look ahead: recomputed on cut and scrambled data, compared with what is to come, and tried where there is nothing to find.

`audit` runs when a study begins and stops it; `gain_on_shuffled` is for tests of a set, also of your own.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ensemble_forecast.data.origins import Origins, last_stamp, steps_until
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.candles import PRICES, candle_columns
from ensemble_forecast.features.ranks import correlation, ranks
from ensemble_forecast.features.sets import FeatureSet, find_set
from ensemble_forecast.seeds import generator

EARLY_CUTS, EARLY_ROWS, GAP_CUTS = 6, 1500, 3  # cuts within the first rows cost little; one late cut costs as much as the features
CLOSE_REL, CLOSE_ABS = 1e-9, 1e-12  # what differs by less was rounded
FEW_SERIES = 3
FORETELLS = 0.75  # rank correlation with the next return: the level of a price that is all noise around a constant has 0.7, nothing honest more
LEAST_ROWS, MOST_ROWS = 100, 5000  # with the next return: fewer tell nothing, more change nothing


def audit(panel: Panel, names: Sequence[str]) -> None:
    """Check every feature set of a study.

    Each set is recomputed on the panel cut at a dozen stamps (the first rows, within gaps, some at random, a late one), and on a panel whose
    later rows are scrambled. Every row up to the cut must be what it was with the later rows. No covariate given beside candles may foretell the
    next return.

    Parameters
    ----------
    panel
        As the sets read it.
    names
        Of the sets.

    Raises
    ------
    BadInput
        When a column looks ahead; the message names set, column, series and step.
    """
    for name in names:
        _recompute(name, find_set(name), panel)
    refuse_foretelling(panel)


def _recompute(name: str, function: FeatureSet, panel: Panel) -> None:
    """Recompute a set on cut and scrambled panels, and compare."""
    rng = generator(0, "audit", name)
    if panel.n_series > FEW_SERIES and hasattr(function, "__wrapped__"):  # on_candles goes series by series: a few tell of all
        chosen_S = np.isin(np.arange(panel.n_series), rng.choice(panel.n_series, FEW_SERIES, replace=False))
        panel = panel.cut(np.where(chosen_S, panel.ends_S, -1))
    whole = function(panel)
    if whole is panel:
        return
    for stamp in _stamps(panel, rng):
        last_S = steps_until(panel, stamp)
        _compare(name, whole, function(panel.cut(last_S)), last_S, panel)
    early = panel.cut(steps_until(panel, _stamp_of(panel, EARLY_ROWS)))
    half_S = early.ends_S // 2
    _compare(name, whole, function(_scrambled(early, half_S, rng)), half_S, panel)


def _stamps(panel: Panel, rng: np.random.Generator) -> list[np.datetime64]:
    """Choose where to cut."""
    steps = {1, 4, *rng.integers(5, EARLY_ROWS, EARLY_CUTS).tolist(), *_gaps(panel, rng)}
    stamps = {_stamp_of(panel, step) for step in sorted(steps)}
    longest = int(panel.lengths_S.max())
    late = _stamp_of(panel, int(longest - 2 - rng.integers(0, max(longest // 10, 1))))
    return sorted(stamp for stamp in {*stamps, late} if stamp < last_stamp(panel))


def _stamp_of(panel: Panel, step: int) -> np.datetime64:
    """Stamp of a step of the longest series, or of its last one."""
    longest = int(np.argmax(panel.lengths_S))
    stamp: np.datetime64 = panel.stamps(longest, int(np.clip(step, 0, panel.ends_S[longest])), 1).to_numpy()[0]
    return stamp


def _gaps(panel: Panel, rng: np.random.Generator) -> list[int]:
    """Pick steps of the longest series where something is missing, and comes back later: who fills from behind is seen there."""
    longest = int(np.argmax(panel.lengths_S))
    rows = slice(int(panel.offsets[longest]), int(panel.offsets[longest] + panel.lengths_S[longest]))
    missing = np.flatnonzero(np.isnan(panel.y[rows]) | np.isnan(panel.past[rows]).any(axis=1))
    return rng.choice(missing, min(GAP_CUTS, len(missing)), replace=False).tolist() if len(missing) else []


def _scrambled(panel: Panel, step_S: np.ndarray, rng: np.random.Generator) -> Panel:
    """Multiply everything after a step of each series by a number of its own: what must be above zero stays so."""
    sizes_S = np.diff(panel.offsets)
    later = np.arange(len(panel.y)) - np.repeat(panel.offsets[:-1], sizes_S) > np.repeat(step_S, sizes_S)
    y = np.where(later, panel.y * rng.uniform(0.5, 2, len(later)), panel.y)
    past = np.where(later[:, None], panel.past * rng.uniform(0.5, 2, panel.past.shape), panel.past)
    return replace(panel, y=y, past=past)


def _compare(name: str, whole: Panel, part: Panel, last_S: np.ndarray, panel: Panel) -> None:
    """Refuse a column whose rows up to a cut are not the same with and without what follows; one that is not made there counts as NaN."""
    upto = Origins.between(np.zeros(panel.n_series, dtype=np.int64), last_S)
    for column in (column for column in whole.past_names if column not in panel.past_names):
        with_later = whole.past[upto.rows(whole), whole.past_names.index(column)]
        without = np.full(len(upto), np.nan)
        if column in part.past_names:
            without = part.past[upto.rows(part), part.past_names.index(column)]
        wrong = np.flatnonzero(~np.isclose(with_later, without, rtol=CLOSE_REL, atol=CLOSE_ABS, equal_nan=True))
        if len(wrong):
            series, step = int(upto.series[wrong[-1]]), int(upto.step[wrong[-1]])
            raise BadInput(
                f"feature set {name!r} looks ahead: its column {column!r} of series {panel.ids[series]!r}, step {step} "
                f"({panel.stamps(series, step, 1)[0]}), is {with_later[wrong[-1]]:.9g} with the rows that follow step {last_S[series]} and "
                f"{without[wrong[-1]]:.9g} without; let every row read rows up to its own, or leave the set out of features"
            )


def refuse_foretelling(panel: Panel) -> None:
    """Refuse a covariate given beside candles that goes with the next return as nothing known at its step can.

    What feature sets make is judged by recomputing; panels without candles, where such a covariate may well be honest, are not judged.

    Raises
    ------
    BadInput
        When the absolute rank correlation is above `FORETELLS`; the message names the column.
    """
    column = candle_columns(panel)
    if column is None:
        return
    row = Origins.between(np.zeros(panel.n_series, dtype=np.int64), panel.ends_S - 1).spread(MOST_ROWS).rows(panel)
    next_return = np.log(column["close"][row + 1]) - np.log(column["close"][row])
    for name, values in zip(panel.past_names, panel.past[row].T, strict=True):
        together = np.isfinite(values) & np.isfinite(next_return)
        if name.lower() in column or np.count_nonzero(together) < LEAST_ROWS:
            continue
        foretold = rank_correlation(values[together], next_return[together])
        if abs(foretold) > FORETELLS:
            raise BadInput(
                f"column {name!r} foretells the next return of the close (rank correlation {foretold:.2f} over {np.count_nonzero(together)} rows), "
                "as nothing known at its step can: it is shifted, or made from later rows; mend it, or leave it out"
            )


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation of ranks, equal values sharing one; 0 where one of the two is constant."""
    return float(correlation(ranks(x[:, None]), ranks(y[:, None]))[0, 0])


def shuffled(panel: Panel, seed: int = 0) -> Panel:
    """Put the candles of one series in a random order, each carried on from the close before it: nothing foretells what comes next any more.

    Parameters
    ----------
    panel
        One series of candles with its close as the target, and no other covariates than open, high, low and volume.
    """
    column = candle_columns(panel)
    assert column is not None
    assert panel.n_series == 1
    log = {name: np.log(column[name]) for name in (*PRICES, "close")}
    order = 1 + generator(seed, "shuffle").permutation(len(panel.y) - 1)
    before = log["close"][order - 1]
    close = log["close"][0] + np.concatenate([[0.0], np.cumsum(log["close"][order] - before)])
    past = panel.past.copy()
    for j, name in enumerate(name.lower() for name in panel.past_names):
        moved = np.exp(close[:-1] + log[name][order] - before) if name in log else panel.past[order, j]
        past[1:, j] = moved
    return replace(panel, y=np.exp(close), past=past)


def gain_on_shuffled(function: FeatureSet, panel: Panel, seed: int = 0) -> float:
    """Let a ridge on a set's features forecast the next return of shuffled candles, and say how much of the variance it explains.

    Returns
    -------
    share of the variance of the last third that a fit on the rows before explains, 1 at most; above about 0 only where features look ahead,
    since there is nothing to find.
    """
    panel = shuffled(panel, seed)
    made = function(panel)
    x_RF = made.past[:-1, [j for j, name in enumerate(made.past_names) if name not in panel.past_names]]
    change_R = np.diff(np.log(panel.y))
    known = np.isfinite(x_RF).all(axis=1)
    x_RF, change_R = x_RF[known], change_R[known]
    split = 2 * len(x_RF) // 3
    scale_F = x_RF[:split].std(axis=0)
    x_RF = np.clip((x_RF - x_RF[:split].mean(axis=0)) / np.where(scale_F > 0, scale_F, np.inf), -5, 5)
    fitted = x_RF[:split].T @ x_RF[:split] + split * np.eye(x_RF.shape[1])
    weight_F = np.linalg.solve(fitted, x_RF[:split].T @ change_R[:split])
    error_R = change_R[split:] - x_RF[split:] @ weight_F
    return float(1 - np.mean(error_R**2) / np.mean(change_R[split:] ** 2))

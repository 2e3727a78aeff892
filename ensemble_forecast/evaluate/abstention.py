"""What forecasts of direction are worth where they are surest, and when only those are called that conformal sets make bold to call."""

import math
from typing import Any

import numpy as np

from ensemble_forecast.ensemble.conformal_sets import PROMISED, sets
from ensemble_forecast.evaluate.rates import wilson
from ensemble_forecast.evaluate.sample import Sample
from ensemble_forecast.metrics import given_to

SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

Record = dict[str, Any]


def surest(truth_NH: np.ndarray, up_NH: np.ndarray, sample: Sample) -> list[Record]:
    """Tell the hit rate among the surest share of the forecasts, for growing shares (El-Yaniv and Wiener 2010, JMLR 11:1605-1641).

    Parameters
    ----------
    truth_NH
        Label, 1 or 0; NaN where unknown.
    up_NH
        Probability of up. An even chance calls nothing and is left out.

    Returns
    -------
    a row a share: ``asked``, ``share`` of the known cells really called (more where several are equally sure), ``least`` probability given to
    what was called, ``hit_rate``, its 95 % ``interval`` and the ``bets`` it rests on. Shares at which nothing is called are not there.
    """
    known_NH = np.isfinite(truth_NH)
    sure_NH = np.where(known_NH & (up_NH != 0.5), np.abs(up_NH - 0.5), -1.0)
    rows = []
    for asked in SHARES if known_NH.any() else ():
        least = np.sort(sure_NH[known_NH])[-math.ceil(asked * known_NH.sum())]
        called_NH = (sure_NH >= max(least, 0.0)) & known_NH
        if called_NH.any():
            rows.append(
                {
                    "asked": asked,
                    "least": 0.5 + float(sure_NH[called_NH].min()),
                    **_called((up_NH > 0.5) == (truth_NH > 0.5), called_NH, known_NH, sample),
                }
            )
    return rows


def abstaining(truth_NH: np.ndarray, forecast_NHQ: np.ndarray, thresholds: np.ndarray, sample: Sample) -> list[Record]:
    """Tell what conformal sets hold, and how often those of a single class, which alone are called, are right.

    Parameters
    ----------
    thresholds
        Learnt out of fold, one for each of ``conformal_sets.PROMISED``; empty: none were.

    Returns
    -------
    a row a promise: ``promised``, ``held`` share of sets with what happened in them, its ``held_interval``; ``several`` and ``none``, the shares of
    the two kinds of abstention; ``share``, ``hit_rate``, ``interval`` and ``bets`` of what was called, without a hit rate where nothing was.
    """
    known_NH = np.isfinite(truth_NH)
    rows = []
    for promised, threshold in zip(PROMISED, thresholds, strict=False) if known_NH.any() else ():
        inside_NHQ = sets(forecast_NHQ, float(threshold))
        size_NH = inside_NHQ.sum(axis=-1)
        inside_NH = given_to(truth_NH, inside_NHQ.astype(float)) == 1
        held = float(inside_NH[known_NH].mean())
        rows.append(
            {
                "promised": promised,
                "held": held,
                "held_interval": wilson(held, sample.take(np.flatnonzero(known_NH.any(axis=1))).bets),
                "several": float((size_NH > 1)[known_NH].mean()),
                "none": float((size_NH == 0)[known_NH].mean()),
                **_called(inside_NH, (size_NH == 1) & known_NH, known_NH, sample),
            }
        )
    return rows


def _called(hit_NH: np.ndarray, called_NH: np.ndarray, known_NH: np.ndarray, sample: Sample) -> Record:
    """Count hits among the cells that are called."""
    share = float(called_NH.sum() / known_NH.sum())
    if not called_NH.any():
        return {"share": share, "hit_rate": None, "interval": [0.0, 1.0], "bets": 0}
    bets = sample.take(np.flatnonzero(called_NH.any(axis=1))).bets
    hit_rate = float(hit_NH[called_NH].mean())
    return {"share": share, "hit_rate": hit_rate, "interval": wilson(hit_rate, bets), "bets": bets}

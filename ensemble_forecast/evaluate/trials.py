"""What the search itself shows: all its trials against the naive rivals, on the out-of-fold forecasts of those that finished."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ensemble_forecast.data.origins import outcome
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.evaluate.backtest import Market, signal, strength
from ensemble_forecast.evaluate.confidence_set import model_confidence_set
from ensemble_forecast.evaluate.losses import cell_losses, deciding_loss
from ensemble_forecast.evaluate.overfitting import backtest_overfitting
from ensemble_forecast.evaluate.resampling import LEAST_BLOCKS, block_length, stationary_indices
from ensemble_forecast.evaluate.rivals import rivals
from ensemble_forecast.evaluate.sample import Sample, over_horizon
from ensemble_forecast.evaluate.sharpe import deflated_sharpe, sharpe
from ensemble_forecast.evaluate.superiority import superiority
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.search.trial import origins_table
from ensemble_forecast.seeds import generator
from ensemble_forecast.store import Candidate, RunFolder
from ensemble_forecast.windows import Plan

CONFIDENCE = 0.90  # of the model confidence set


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Mean losses at T times, oldest first, of M candidates and of the naive rivals.

    Parameters
    ----------
    ids, families
        Of the candidates.
    loss_TM
        Of the candidates.
    rivals
        (T,) by name.
    returns_TM
        What trading every forecast earned at each step before costs; None where the target is no price.
    """

    ids: list[str]
    families: list[str]
    loss_TM: np.ndarray
    rivals: dict[str, np.ndarray]
    returns_TM: np.ndarray | None


def judge_trials(folder: RunFolder, panel: Panel, task: Task, plan: Plan, *, trades: bool) -> dict[str, Any]:
    """Judge a whole search on what it left behind.

    All trials whose out-of-fold forecasts are known are compared with the best naive rival: superior predictive ability and Reality Check ask whether
    the best of them owes more than luck to its being the best of so many, the probability of backtest overfitting whether choosing the best
    is worth anything, the deflated Sharpe ratio whether the best one's edge exceeds that of the best of as many coins. Pruned and failed trials left
    no forecasts: they count in the number of trials of the deflated Sharpe ratio, and cannot be in the others, which are that much too kind. All take
    the trials as given, although a search draws the later ones where the earlier ones did well.

    Parameters
    ----------
    trades
        Whether the target is a price, so that a Sharpe ratio is one of returns; else it is that of the gain over the naive.

    Returns
    -------
    JSON-able dict: counts of the trials by state, ``reason`` where there is too little to compare (then nothing else), ``best_naive``, ``times``,
    ``spa``, ``reality_check``, ``backtest_overfitting``, ``deflated_sharpe``, ``confidence_set``.
    """
    lines = folder.ledger()
    states = {state: sum(line["state"] == state for line in lines) for state in ("finished", "pruned", "failed", "stale")}
    counts = {"trials": len(lines), **states}
    scored = plan.scored
    sample = Sample(scored.series, scored.step - plan.judged_S[scored.series], task.horizon)
    if sample.n_times < LEAST_BLOCKS * task.horizon:
        told = f"{sample.n_times} times out of fold at horizon {task.horizon}: at least {LEAST_BLOCKS * task.horizon} are needed to compare trials"
        return counts | {"reason": told}
    found = _read(folder, panel, task, plan, sample, trades=trades)
    if not found.ids:
        return counts | {"reason": "no candidate forecast every scored origin"}
    best_naive = min(found.rivals, key=lambda name: found.rivals[name].mean())
    benchmark_T = found.rivals[best_naive]
    gain_TM = benchmark_T[:, None] - found.loss_TM
    block = block_length(gain_TM, task.horizon)
    index_RT = stationary_indices(len(gain_TM), block, generator(task.seed, "trials"))
    superior = superiority(benchmark_T, found.loss_TM, index_RT)
    return counts | {
        "reason": None,
        "compared": len(found.ids),
        "best_naive": best_naive,
        "best": found.ids[int(found.loss_TM.mean(axis=0).argmin())],
        "times": len(gain_TM),
        "block": block,
        "spa": superior.spa,
        "reality_check": superior.reality_check,
        "backtest_overfitting": backtest_overfitting(found.loss_TM, task.horizon),
        "deflated_sharpe": _deflated(found, gain_TM, len(lines)),
        "confidence_set": _confidence_set(found, index_RT),
    }


def _read(folder: RunFolder, panel: Panel, task: Task, plan: Plan, sample: Sample, *, trades: bool) -> OutOfFold:
    """Score every candidate that forecast all scored origins, and the rivals, fold by fold as they would have been fitted then."""
    scored = plan.scored
    truth_NH, scale_N = outcome(panel, scored, task), scale_at(panel, scored, task.season_length)
    known_N = np.isfinite(truth_NH).any(axis=1)
    expected_N3 = origins_table(plan)

    def loss_of(forecast_NHQ: np.ndarray) -> np.ndarray:
        cells_NH = cell_losses(truth_NH, np.asarray(forecast_NHQ, dtype=float), scale_N, task)[deciding_loss(task)]
        return sample.take(known_N).by_time(over_horizon(cells_NH)[known_N])

    parts = [rivals(panel, task, fold.cutoff_S, fold.score) for fold in plan.folds]
    naive = {name: loss_of(np.concatenate([part[name] for part in parts])) for name in parts[0]}
    read: list[Candidate] = [each for each in folder.candidates() if np.array_equal(each.origins_N3, expected_N3)]
    losses = [(each, loss_of(each.forecasts_NHQ)) for each in read]
    served = [(each, loss_T) for each, loss_T in losses if np.isfinite(loss_T).all()]
    market = Market.of(panel, scored, plan.judged_S, task.horizon) if trades else None
    last_N = panel.y_filled[scored.rows(panel)]

    def returns_of(candidate: Candidate) -> np.ndarray:
        assert market is not None
        held_ST = market.held(signal(strength(np.asarray(candidate.forecasts_NHQ, dtype=float), last_N, task), 0.0))
        return market.earned(held_ST, 0.0).mean(axis=0)

    return OutOfFold(
        ids=[each.id for each, _ in served],
        families=[each.report["family"] for each, _ in served],
        loss_TM=np.column_stack([loss_T for _, loss_T in served]) if served else np.empty((0, 0)),
        rivals={name: loss_T for name, loss_T in naive.items() if np.isfinite(loss_T).all()},
        returns_TM=np.column_stack([returns_of(each) for each, _ in served]) if trades and served else None,
    )


def _deflated(found: OutOfFold, gain_TM: np.ndarray, n_trials: int) -> dict[str, Any] | None:
    """Deflate the Sharpe ratio of the best trial; None with fewer than two."""
    stream_TM = gain_TM if found.returns_TM is None else found.returns_TM
    ratio_M = sharpe(stream_TM.T)
    if len(ratio_M) < 2:
        return None
    best = int(ratio_M.argmax())
    of = "gain over the best naive" if found.returns_TM is None else "return of trading every forecast, before costs"
    return {"of": of, "best": found.ids[best], **deflated_sharpe(stream_TM[:, best], float(ratio_M.var(ddof=1)), n_trials)}


def _confidence_set(found: OutOfFold, index_RT: np.ndarray) -> dict[str, Any]:
    """Name what cannot be told from the best, of the best candidate of each family and the naive rivals."""
    mean_M = found.loss_TM.mean(axis=0)
    best = {family: min(np.flatnonzero(np.array(found.families) == family), key=lambda m: mean_M[m]) for family in dict.fromkeys(found.families)}
    names = [found.ids[m] for m in best.values()] + [f"rival {name}" for name in found.rivals]
    p_M = model_confidence_set(np.column_stack([found.loss_TM[:, list(best.values())], *found.rivals.values()]), index_RT)
    return {"confidence": CONFIDENCE, "members": [name for name, p in zip(names, p_M, strict=True) if p > 1 - CONFIDENCE], "of": len(names)}

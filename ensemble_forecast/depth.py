"""The depth study: nets that differ in depth alone, on the same data, in the same time and, separately, in the same number of steps.

All learn from the rows before the first window of a study and are judged on the scored origins of all its windows; the locked test origins stay
locked. Every training runs in a process of its own, so that its memory can be told.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from ensemble_forecast import atomic
from ensemble_forecast.data.origins import Origins, outcome
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, Diverged
from ensemble_forecast.evaluate.losses import cell_losses, deciding_loss
from ensemble_forecast.evaluate.rates import wilson
from ensemble_forecast.evaluate.sample import over_horizon
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.learners.base import Learner, build, fit_plain, training_of
from ensemble_forecast.learners.deep.deep import Deep
from ensemble_forecast.learners.deep.examination import examine
from ensemble_forecast.learners.deep.inputs import n_extras
from ensemble_forecast.learners.deep.planner import plan
from ensemble_forecast.learners.deep.shapes import Shapes
from ensemble_forecast.memory import peak_bytes
from ensemble_forecast.search.pool import ONE_THREAD
from ensemble_forecast.seeds import derive
from ensemble_forecast.study import Study
from ensemble_forecast.windows import roles_until

SAME_TIME, SAME_STEPS = "same time", "same steps"
SHARE = 0.42  # of the budget for each of the two; the rest is for the examinations, and for processes to start
LEAST_STEPS = 5
BLOCK_LAYERS = (4, 3, 2, 1)  # the first that divides the depth
BASELINE = "naive"  # for kind direction: the share of rises so far
CONTROLS = (BASELINE, "ridge")
SURE = 2.0  # standard errors
LATE, START_S = 1.5, 20.0  # times its share, and seconds for a process to begin, after which a training is cut short
EXAMINED_S = 30.0  # at least, for what is found about the data
BATCH, CONTEXT, RATE = 64, 32, 1e-3


@dataclass(frozen=True)
class Data:
    """What every net is given."""

    panel: Panel
    cutoff_S: np.ndarray
    score: Origins
    task: Task


def run(study: Study, layers: Sequence[int], budget_s: float, *, seeds: int, width: int, workers: int, log: Callable[[str], None]) -> dict[str, Any]:
    """Run a depth study and write ``depth_report.json`` into the study's folder.

    Parameters
    ----------
    layers
        Depths, at least two.
    seeds
        Nets of each depth.

    Returns
    -------
    the report: a row for each depth under each condition, controls, what was found about gradients and data, and a sentence.

    Raises
    ------
    BadInput
        When there is nothing to compare, or the budget does not hold a few steps of the deepest net.
    """
    if len(set(layers)) < 2 or min(layers) < 1 or seeds < 2:
        raise BadInput(f"a depth study needs at least two depths of at least one layer, and two seeds; got {list(layers)} and {seeds}")
    deadline = Deadline.after(budget_s)
    first = study.plan.folds[0].cutoff_S
    data = Data(study.panel.cut(study.plan.judged_S), first, study.plan.scored, study.task)
    plans = {depth: plan(net_of(depth, width), shapes_of(data)) for depth in sorted(set(layers))}
    for each in plans.values():
        log(each.sentence)
    jobs = list(_jobs({depth: (each.learner, each.chosen.step_s) for depth, each in plans.items()}, seeds, SHARE * budget_s * workers))
    log(f"{len(jobs)} trainings: about {sum(job[3] for job in jobs) / workers:.0f} s of {budget_s:.0f} s")
    with _one_thread_each(), ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        asked = [pool.submit(_trained, data, learner, seed, LATE * share_s + START_S) for _, learner, seed, share_s in jobs]
        runs = []
        for (condition, learner, seed, _), future in zip(jobs, asked, strict=True):
            runs.append({"condition": condition, "layers": learner.n_layers, "seed": seed} | future.result())
            log(_told(runs[-1]))
        left_s = max(deadline.left(), EXAMINED_S)
        examined = [pool.submit(_examined, data, each.learner, depth == min(plans), left_s) for depth, each in plans.items()]
        found = [future.result() for future in examined]
    rows = [_row(runs, condition, depth, data) for condition, depth in product((SAME_TIME, SAME_STEPS), plans)]
    controls = [_control(study, family, data) for family in CONTROLS]
    report = {
        "study": study.name,
        "budget_s": budget_s,
        "seeds": seeds,
        "width": width,
        "bets": _bets(data),
        "plans": [each.sentence for each in plans.values()],
        "rows": _without_losses(rows),
        "controls": _without_losses(controls),
        "examinations": found,
        "sentence": _sentence(rows, controls[0], data),
    }
    atomic.write_json(study.folder.path / "depth_report.json", report)
    return report


def net_of(layers: int, width: int) -> Deep:
    """Build a net of a depth, the same but for that."""
    in_a_block = next(count for count in BLOCK_LAYERS if layers % count == 0)
    return Deep(width=width, blocks=layers // in_a_block, block_layers=in_a_block, batch=BATCH, context=CONTEXT, learning_rate=RATE, ema=0.98)


def shapes_of(data: Data) -> Shapes:
    """Say what the nets see and give."""
    n_past, n_known = data.panel.past.shape[1], data.panel.known.shape[1]
    return Shapes(CONTEXT, 1 + n_past, n_extras(data.task.horizon, n_past, n_known), data.task.horizon, data.task.n_outputs)


def _jobs(nets: dict[int, tuple[Deep, float]], seeds: int, budget_s: float) -> Iterator[tuple[str, Deep, int, float]]:
    """Give condition, net, seed and seconds of every training, the deepest first: it decides when all are done."""
    each_s = budget_s / (len(nets) * seeds)
    steps = int(budget_s / (seeds * sum(step_s for _, step_s in nets.values())))
    slowest = max(step_s for _, step_s in nets.values())
    if min(steps, each_s / slowest) < LEAST_STEPS:
        raise BadInput(
            f"the budget holds {min(steps, int(each_s / slowest))} steps of the deepest net, and it must hold {LEAST_STEPS}:"
            " give a larger budget, fewer layers or fewer seeds"
        )
    for learner, step_s in reversed(nets.values()):
        for seed in range(seeds):
            yield SAME_TIME, replace(learner, steps=max(1, int(each_s / step_s))), seed, each_s
            yield SAME_STEPS, replace(learner, steps=steps), seed, steps * step_s


def _trained(data: Data, learner: Deep, seed: int, most_s: float) -> dict[str, Any]:
    """Train one net; losses of unseen origins, and what it took."""
    task, begun = replace(data.task, seed=derive(data.task.seed, "depth", seed)), time.perf_counter()
    seen = data.panel.cut(data.cutoff_S)
    try:
        fitted: Learner = learner.fit(seen, roles_until(seen, task, data.cutoff_S), task, Deadline.after(most_s))
    except Diverged as error:
        return {"failed": str(error)}
    seconds = time.perf_counter() - begun
    curve, diagnosis = training_of(fitted)
    return {
        "steps": int(curve[-1][0] or 0) if curve else 0,
        "seconds": seconds,
        "peak_mib": peak_bytes() / 2**20,
        "parameters": sum(array.size for array in fitted.weights_.values()),  # type: ignore[attr-defined]
        "training": diagnosis,
        **_scores(data, fitted),
    }


def _examined(data: Data, learner: Deep, with_data: bool, most_s: float) -> dict[str, Any]:
    """Look at a net's gradients, and for the shallowest at what the data hold."""
    return examine(learner, data.panel, data.cutoff_S, data.score, data.task, Deadline.after(most_s), with_data=with_data).as_json()


def _scores(data: Data, fitted: Learner) -> dict[str, Any]:
    """Losses and hits of unseen origins."""
    truth_NH = outcome(data.panel, data.score, data.task)
    forecast_NHQ = fitted.predict(data.panel, data.score, Deadline.never())
    scale_N = scale_at(data.panel, data.score, data.task.season_length)
    cells = cell_losses(truth_NH, forecast_NHQ, scale_N, data.task)
    hit_rate = 1 - float(np.nanmean(cells["misses"])) if data.task.kind == "direction" else None
    return {"loss_N": over_horizon(cells[deciding_loss(data.task)]), "hit_rate": hit_rate}


def _control(study: Study, family: str, data: Data) -> dict[str, Any]:
    """Score a learner that needs no depth, fitted on the same rows."""
    seen = data.panel.cut(data.cutoff_S)
    begun = time.perf_counter()
    if family == BASELINE:
        fitted = fit_plain(family, study.panel, study.task, data.cutoff_S)
    else:
        fitted = build({"family": family, "params": {}}).fit(seen, roles_until(seen, data.task, data.cutoff_S), data.task, Deadline.never())
    scores = _scores(data, fitted)
    return {"family": family, "seconds": time.perf_counter() - begun, "loss": float(scores["loss_N"].mean()), "by_seed": [], **scores}


def _row(runs: Iterable[dict[str, Any]], condition: str, layers: int, data: Data) -> dict[str, Any]:
    """Sum up the seeds of one depth."""
    own = [run for run in runs if (run["condition"], run["layers"]) == (condition, layers)]
    done = [run for run in own if "failed" not in run]
    row: dict[str, Any] = {"condition": condition, "layers": layers, "failed": [run["failed"] for run in own if "failed" in run]}
    if not done:
        return row | {"loss": None, "loss_N": None}
    loss_N, by_seed = np.mean([run["loss_N"] for run in done], axis=0), [float(run["loss_N"].mean()) for run in done]
    hits = None if done[0]["hit_rate"] is None else float(np.mean([run["hit_rate"] for run in done]))
    return row | {
        "loss": float(loss_N.mean()),
        "loss_N": loss_N,
        "by_seed": by_seed,
        "hit_rate": hits,
        "hit_interval": None if hits is None else wilson(hits, _bets(data)),
        **{name: float(np.mean([run[name] for run in done])) for name in ("steps", "seconds", "parameters")},
        "peak_mib": max(run["peak_mib"] for run in done),
        "training": [run["training"] for run in done],
    }


def _bets(data: Data) -> int:
    """Count unseen origins whose labels do not overlap."""
    return len(data.score) // data.task.horizon


def _without_losses(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "loss_N"} for row in rows]


def _sentence(rows: Sequence[dict[str, Any]], baseline: dict[str, Any], data: Data) -> str:
    """Say whether depth paid, which it did only where it beat the shallowest net and the baseline, and what could not be seen."""
    said = []
    for condition in (SAME_TIME, SAME_STEPS):
        own = [row for row in rows if row["condition"] == condition and row["loss_N"] is not None]
        if len(own) < 2:
            said.append(f"in the {condition} too few depths could be trained to compare them")
            continue
        shallow, best = own[0], min(own[1:], key=lambda row: row["loss"])
        gained, error = _gain(shallow, best, data.task.horizon)
        over, over_error = _gain(baseline, best, data.task.horizon)
        paid = f"no depth beat {shallow['layers']} layers"
        if gained > SURE * error:
            paid = f"{best['layers']} layers beat {shallow['layers']}"
            paid += "" if over > SURE * over_error else f", but not the baseline ({over:+.4f}, standard error {over_error:.4f}): depth did not pay"
        said.append(
            f"in the {condition} {paid} (the best deeper net, {best['layers']} layers, gains {gained:+.4f}, standard error {error:.4f}; a gain below"
            f" {SURE * error:.4f} could not have been seen)"
        )
    return f"Over {_bets(data)} independent bets: " + "; ".join(said) + "."


def _gain(shallow: dict[str, Any], deep: dict[str, Any], horizon: int) -> tuple[float, float]:
    """Mean of what a depth gains over another, and its standard error: that of origins and of seeds together."""
    gained_N = shallow["loss_N"] - deep["loss_N"]
    blocks = gained_N[: len(gained_N) // horizon * horizon].reshape(-1, horizon).mean(axis=1)
    of_seeds = sum(np.var(row["by_seed"], ddof=1) / len(row["by_seed"]) for row in (shallow, deep) if len(row["by_seed"]) > 1)
    return float(gained_N.mean()), float(np.sqrt(blocks.var(ddof=1) / len(blocks) + of_seeds))


def _told(one: dict[str, Any]) -> str:
    """Say how one training went."""
    head = f"{one['condition']}, {one['layers']} layers, seed {one['seed']}: "
    return head + (one["failed"] if "failed" in one else f"loss {one['loss_N'].mean():.4f} after {one['steps']} steps in {one['seconds']:.0f} s")


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that are started within have one thread each."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})

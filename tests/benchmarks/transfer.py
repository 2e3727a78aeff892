"""Whether transfer pays: a net pretrained on some series and fine-tuned on others with a tenth of the steps, beside one from scratch with all.

The m4_hourly series come in blocks of one source each: 300 drawn at random stand for the others, the first 300 do not.

python tests/benchmarks/transfer.py FOLDER_OF_DATA

Wanted: it pays from 300 of the m4_hourly series, drawn at random, to the others; else nothing is wanted, and what came out is said.
"""

import argparse
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scoring import read

from ensemble_forecast import persist
from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.frames import to_panel
from ensemble_forecast.data.origins import Origins, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.metrics import sql
from ensemble_forecast.windows import roles_until

STEPS, TENTH = 2000, 200
PRETRAINING = 6000  # steps, once for all that starts from it
N_SOURCE, DRAWS = 300, 3
NEVER = Deadline.never()


def panel_of(frame: pd.DataFrame) -> Panel:
    """Make a panel, gaps filled."""
    return to_panel(frame.reset_index(drop=True), Columns(gaps="fill"))


def halves(frame: pd.DataFrame, order: np.ndarray) -> tuple[Panel, Panel]:
    """Part the series of a frame: the first 300 of an order, and the others."""
    is_source = frame["unique_id"].isin(order[:N_SOURCE])
    return panel_of(frame[is_source]), panel_of(frame[~is_source])


def fitted(learner: Mlp, panel: Panel, task: Task) -> Mlp:
    """Fit on all but the last horizon of each series, without a stop role: all steps are made."""
    cutoff_S = panel.ends_S - task.horizon
    train = panel.cut(cutoff_S, ahead=task.horizon)
    return learner.fit(train, roles_until(train, task, cutoff_S, with_stop=False), task, NEVER)


def loss(learner: Mlp, panel: Panel, task: Task) -> float:
    """Scaled quantile loss on the last horizon of each series."""
    origins = Origins(np.arange(panel.n_series), panel.ends_S - task.horizon)
    forecast_NHQ = learner.predict(panel, origins, NEVER)
    scale_N = scale_at(panel, origins, task.season_length)
    return sql(truth(panel, origins, task.horizon), forecast_NHQ, scale_N, task.quantiles)


def compare(source: Panel, target: Panel, task: Task, what: str) -> float:
    """Print the loss of the fine-tuned net over that of one from scratch."""
    recipe = Mlp(steps=STEPS, context=4 * task.season_length)
    with tempfile.TemporaryDirectory() as home:
        start = Path(home) / "pretrained"
        pretrained = fitted(replace(recipe, steps=PRETRAINING), source, task)
        persist.save(start, {"member.mlp": pretrained, "ids": source.ids, "until": ("1970-01-01",) * source.n_series}, {})
        tuned = loss(fitted(replace(recipe, steps=TENTH, start=str(start)), target, task), target, task)
    scratch, short = (loss(fitted(replace(recipe, steps=steps), target, task), target, task) for steps in (STEPS, TENTH))
    verdict = "it pays" if tuned <= scratch else "it does not pay"
    print(
        f"{what}: fine-tuned in {TENTH} steps {tuned:.4f}, from scratch in {STEPS} {scratch:.4f}, in {TENTH} {short:.4f}:"
        f" {tuned / scratch:.3f}, {verdict}",
        flush=True,
    )
    return tuned / scratch


def main(folder: Path) -> int:
    """Compare all; return 1 where it does not pay over the draws."""
    hourly, task = read(folder / "m4_hourly.parquet"), Task(horizon=48, season_length=24)
    ids, ratios = hourly["unique_id"].unique(), []
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(ids)
        ratios.append(compare(*halves(hourly, order), task, f"m4_hourly, 300 series drawn with seed {draw} to the others"))
    mean = statistics.geometric_mean(ratios)
    print(f"over the draws: {mean:.3f} (wanted: at most 1)", flush=True)
    compare(*halves(hourly, ids), task, "m4_hourly, the first 300 series to the others")
    weekly, btc = (panel_of(read(folder / f"{name}.parquet")) for name in ("m4_weekly", "btc_daily"))
    compare(weekly, btc, Task(horizon=13, season_length=13), "btc_daily from m4_weekly")
    return int(mean > 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    sys.exit(main(parser.parse_args().folder))

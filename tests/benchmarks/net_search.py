"""Is the search over nets worth having: the search as it is against random draws from the same space, at equal time, on windows held back.

python tests/benchmarks/net_search.py DATA.parquet --horizon 48 --season 24 [--windows 1] [--bare]

The search begins with the portfolio, random draws with one short training of the learner's defaults; with --bare so does the search, which leaves
the sampler alone to make the difference. Wanted: a smaller median loss in three of four families.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import pandas as pd
from scoring import held_back, read, scaled_quantile_loss

import ensemble_forecast as ef
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.pipeline import check
from ensemble_forecast.search.spaces import load_space
from ensemble_forecast.stacking import stack
from ensemble_forecast.study import FRAME, open_study, silent
from ensemble_forecast.workflow import run_search, working

SAMPLERS = ("tpe", "random")
WANTED = 0.75  # of the families
STACKING_S = 120.0

Window = tuple[pd.DataFrame, pd.DataFrame]  # the history before it, and the truth


def searched(windows: list[Window], family: str, sampler: str, seed: int, given: argparse.Namespace) -> tuple[float, int]:
    """Search one family before the windows held back, refit the best candidate, and score it on them; also the number of trials."""
    history = windows[0][0]
    with tempfile.TemporaryDirectory() as home:
        space = Path(home) / "one.toml"
        table = load_space(given.space).source[family]
        if given.bare or sampler == "random":
            table = table | {"portfolio": [{"steps": 100}]}
        space.write_text(f"[{family}]\n" + "".join(f"{name} = {_toml(value)}\n" for name, value in table.items()))
        pipeline = check(
            {
                "source": FRAME, "horizon": given.horizon, "season": given.season, "test": 0.0, "budget": f"{given.budget}s", "gaps": "fill",
                "space": str(space), "sampler": sampler, "seed": seed,
            },
            "net_search",
        )  # fmt: skip
        study = open_study("bare", Path(home), pipeline, frame=history, log=silent)
        run_search(study)
        with working(study, None, "auto") as pool:
            stack(study, pool, Deadline.after(STACKING_S), combiner="best_single", arms=False)
        model = ef.load(study.folder.path / "ensemble")
        losses = [scaled_quantile_loss(model.predict(known), truth, history, given.season) for known, truth in windows]
        return statistics.mean(losses), len(study.folder.ledger())


def _toml(value: object) -> str:
    """Write a leaf of a space as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')


def main(given: argparse.Namespace) -> int:
    """Print a line a family; return 1 where too few of them are worth searching."""
    windows = held_back(read(given.data), given.horizon, given.windows)
    won = 0
    for family in given.families:
        medians = {}
        for sampler in SAMPLERS:
            runs = [searched(windows, family, sampler, seed, given) for seed in range(given.seeds)]
            medians[sampler] = statistics.median(run[0] for run in runs)
            print(
                f"{family} by {sampler}: loss {', '.join(f'{run[0]:.4f}' for run in runs)}; trials {', '.join(str(run[1]) for run in runs)}",
                flush=True,
            )
        won += medians["tpe"] < medians["random"]
        print(f"{family}: {medians['tpe'] / medians['random']:.3f} of random draws' median loss", flush=True)
    print(f"the search is ahead in {won} of {len(given.families)} families")
    return int(won < WANTED * len(given.families))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--horizon", type=int, required=True)
    parser.add_argument("--season", type=int, required=True)
    parser.add_argument("--windows", type=int, default=1, help="held back: one says little of a single series")
    parser.add_argument("--families", nargs="*", default=["mlp", "tcn", "lstm", "nhits"])
    parser.add_argument("--space", default="deep")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--bare", action="store_true")
    sys.exit(main(parser.parse_args()))

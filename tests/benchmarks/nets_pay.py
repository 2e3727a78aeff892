"""What nets are worth: the best net beside the seasonal naive, and the ensemble with nets beside the one without, on a window held back.

python tests/benchmarks/nets_pay.py DATA.parquet --horizon 48 --season 24 [--budget 300]

Every fit has the whole budget. Wanted: the best net at least 25 % ahead of the naive, and the ensemble with nets ahead of the one without.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from scoring import held_back, read, scaled_quantile_loss

import ensemble_forecast as ef
from ensemble_forecast.registry import NETS
from ensemble_forecast.search.spaces import load_space

AHEAD = 0.75  # of the naive's loss, at most


def main(given: argparse.Namespace) -> int:
    """Print a line for each; return the number of broken promises."""
    [(history, truth)] = held_back(read(given.data), given.horizon)

    def loss(**setting: Any) -> float:
        model = ef.EnsembleForecaster(given.horizon, season_length=given.season, gaps="fill", budget=f"{given.budget}s", **setting)
        return scaled_quantile_loss(model.fit(history).predict(), truth, history, given.season)

    naive = loss(families=["seasonal_naive"])
    best_net = loss(space="deep", families=given.nets, combiner="best_single")
    print(f"best of {', '.join(given.nets)}: {best_net:.4f}, {best_net / naive:.3f} of the seasonal naive's {naive:.4f}", flush=True)
    without = loss(families=[family for family in load_space("default").families if family not in NETS])
    both = loss()
    print(f"ensemble with nets {both:.4f}, without {without:.4f}: {both / without:.4f}", flush=True)
    return int(best_net > AHEAD * naive) + int(both >= without)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--horizon", type=int, required=True)
    parser.add_argument("--season", type=int, required=True)
    parser.add_argument("--nets", nargs="*", default=["mlp", "nhits", "tcn", "lstm"])
    parser.add_argument("--budget", type=int, default=300)
    sys.exit(main(parser.parse_args()))

"""One of several searches of a study: ``python shared_search.py RUN URL TRIALS SLEEP`` runs a list of trials that sleep, and prints how it ended."""

import sys

from toys import seasonal_panel

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.search import shared
from ensemble_forecast.search.driver import search
from ensemble_forecast.search.spaces import parse_space
from ensemble_forecast.store import RunFolder

shared.HEARTBEAT_S, shared.GRACE_S = 2, 5  # a test has no minutes to wait for a search that fell silent


def main(path: str, url: str, n_trials: str, sleeps_s: str) -> None:
    """Run the list, or what others leave of it."""
    trials = [{"family": "odd", "params": {"tag": tag, "sleeps_s": float(sleeps_s)}} for tag in range(int(n_trials))]
    summary = search(
        RunFolder(path),
        seasonal_panel(),
        Task(horizon=7, season_length=7),
        {"test": 0.2, "n_windows": 2},
        parse_space({"naive": {}}, "none"),
        deadline=Deadline.after(180),
        trials=trials,
        n_workers=1,
        device="cpu",
        storage=shared.connect(url),
    )
    sys.stdout.write(f"{summary.new} {summary.finished}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What feature sets cost: all columns of 60,000 hourly candles at once, and one new candle; and whether the two agree.

Seconds are those of the one thread that computes: what else runs on the machine does not count.

python tests/benchmarks/features.py [FILE]    (candles as parquet or CSV, repeated end to end to 60,000 rows; without one: a random walk)
"""

import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ensemble_forecast.data.files import read_table
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.features.audit import audit
from ensemble_forecast.features.market.live import Live
from ensemble_forecast.features.sets import with_features
from ensemble_forecast.memory import peak_bytes
from ensemble_forecast.registry import FEATURES
from ensemble_forecast.threads import one_thread

HEAVY = ("entropy", "hurst", "wavelets", "garch")
USUAL = tuple(name for name in FEATURES if name != "candles" and name not in HEAVY)
ROWS, LIVE_ROWS, ROUNDS = 60_000, 300, 3
WANTED_S, WANTED_HEAVY_S, WANTED_LIVE_MS, WANTED_MIB, WANTED_REL = 3.0, 8.0, 15.0, 1024.0, 1e-9
PRICES = ["open", "high", "low", "close"]


def candles(path: str | None) -> Panel:
    """Read candles, or walk at random, and go on from the last close until there are enough."""
    rng = np.random.default_rng(0)
    if path is None:
        close = 100 * np.exp(np.cumsum(0.005 * rng.standard_t(4, ROWS)))
        opened = np.concatenate([[100.0], close[:-1]])
        reach = np.exp(0.003 * rng.random((2, ROWS)))
        table = np.column_stack(
            [opened, np.maximum(opened, close) * reach[0], np.minimum(opened, close) / reach[1], close, rng.lognormal(3, 1, ROWS)]
        )
    else:
        once = read_table(Path(path))[[*PRICES, "volume"]].to_numpy(float)
        parts, level = [], once[0, 0]
        while sum(map(len, parts)) < ROWS:
            part = once * np.array([level / once[0, 0]] * 4 + [1.0])
            parts.append(part)
            level = part[-1, 3]
        table = np.concatenate(parts)[:ROWS]
    return replace(Panel.of([table[:, 3]], freq="h", past=[table[:, [0, 1, 2, 4]]]), past_names=("open", "high", "low", "volume"))


def seconds(panel: Panel, names: tuple[str, ...]) -> tuple[float, Panel]:
    """Time all columns of some sets on a panel that nothing was read from yet: the best of a few rounds."""
    taken = []
    for _ in range(ROUNDS):
        fresh, made = replace(panel), None  # what the round before made takes no memory from this one
        begun = time.thread_time()
        made = with_features(fresh, names)
        taken.append(time.thread_time() - begun)
    return min(taken), made


def one_candle(panel: Panel, whole: Panel, names: tuple[str, ...]) -> tuple[float, float]:
    """Median milliseconds of a new candle, and the largest relative difference to the full batch."""
    first = ROWS - LIVE_ROWS
    stamp = panel.stamps(0, 0, ROWS).to_numpy()
    live, taken, furthest = Live(names, panel.cut(np.array([first - 1]))), [], 0.0
    for row in range(first, ROWS):
        opened, high, low, volume = panel.past[row]
        begun = time.thread_time()
        made = live.append(stamp[row], open=opened, high=high, low=low, close=panel.y[row], volume=volume)
        taken.append(1000 * (time.thread_time() - begun))
        batch = dict(zip(whole.past_names, whole.past[row], strict=True))
        furthest = max(furthest, *(abs(value - batch[name]) / max(abs(batch[name]), 1e-300) for name, value in made.items()))
    return statistics.median(taken), furthest


@one_thread
def main(argv: list[str]) -> int:
    """Print the figures beside those wanted; return 1 where one is missed."""
    panel = candles(argv[1] if len(argv) > 1 else None)
    usual_s, usual = seconds(panel, USUAL)
    peak_mib = peak_bytes() / 2**20
    heavy_s, _ = seconds(panel, HEAVY)
    live_ms, apart = one_candle(panel, usual, USUAL)
    n_usual = len(usual.past_names) - 4
    print(f"{n_usual} columns of {len(USUAL)} sets on {ROWS} rows: {usual_s:.2f} s (wanted: {WANTED_S})")
    print(f"{', '.join(HEAVY)}: {heavy_s:.2f} s more (wanted: {WANTED_HEAVY_S})")
    print(f"one new candle, {n_usual} columns: {live_ms:.1f} ms (wanted: {WANTED_LIVE_MS}); relative difference to the batch {apart:.1g}")
    print(f"peak memory, {n_usual} columns and the interpreter: {peak_mib:.0f} MiB (wanted: {WANTED_MIB:.0f})")
    begun = time.thread_time()
    audit(panel, USUAL)
    print(f"audit of the {len(USUAL)} sets, once a study: {time.thread_time() - begun:.1f} s")
    return int(usual_s > WANTED_S or heavy_s > WANTED_HEAVY_S or live_ms > WANTED_LIVE_MS or apart > WANTED_REL or peak_mib > WANTED_MIB)


if __name__ == "__main__":
    sys.exit(main(sys.argv))

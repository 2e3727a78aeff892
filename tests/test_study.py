"""What a study decides once, before anything is scored."""

from dataclasses import replace

import numpy as np

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.pipeline import check
from ensemble_forecast.study import _found_season
from ensemble_forecast.windows import plan


def test_the_season_is_found_on_no_row_that_is_scored_with_it():
    """One long series makes windows so wide that a season shorter than the calendar's leaves room for one more, which begins earlier."""
    rng = np.random.default_rng(0)
    lengths = np.array([1000] + [240] * 9)
    wave = np.tile([30.0, 10.0, -20.0, -20.0, 0.0], 200)
    panel = Panel.of([100 + rng.normal(size=n) + np.where(np.arange(n) > n - 225, wave[:n], 0) for n in lengths], freq="MS")
    panel = replace(panel, start_S=(np.datetime64("1920-01", "M") + lengths.max() - lengths).astype("datetime64[s]"))
    pipeline = check({"source": "(a data frame)", "horizon": 3, "test": 0.0}, "a test")
    season = _found_season(panel, pipeline)
    first = plan(panel, pipeline.model_copy(update={"season": season}).task, test=pipeline.test).folds[0]
    step = np.arange(len(panel.y)) - np.repeat(panel.offsets[:-1], lengths)
    scrambled = replace(panel, y=np.where(step > np.repeat(first.cutoff_S, lengths), rng.normal(100, 10, len(step)), panel.y))
    assert _found_season(scrambled, pipeline) == season

"""What a study decides once, before anything is scored."""

from dataclasses import replace

import numpy as np
import pytest

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.errors import BadInput
from ensemble_forecast.pipeline import RUN_FORMAT, check, read, read_resolved, write
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


def test_a_run_of_a_newer_format_is_refused_and_one_that_does_not_say_is_the_first(tmp_path):
    record = tmp_path / "pipeline.toml"
    pipeline = check({"source": "a.csv", "horizon": 3}, "a test")
    found = {"data_end": "2024-05-01", "data_hash": "00"}
    for known in (found, found | {"format": RUN_FORMAT}):
        write(pipeline, record, known)
        assert read(record) == pipeline
        assert read_resolved(record) == (np.datetime64("2024-05-01"), "00")
    for strange in (RUN_FORMAT + 1, 0, "one"):
        write(pipeline, record, found | {"format": strange})
        with pytest.raises(BadInput, match=r"reads up to 1; upgrade"):
            read(record)


@pytest.mark.parametrize("resolved", [{}, {"data_hash": "00"}, {"data_hash": "00", "data_end": "soon"}, {"data_hash": "00", "data_end": 5}])
def test_a_run_that_does_not_say_on_which_data_it_was_begun_is_refused(tmp_path, resolved):
    record = tmp_path / "pipeline.toml"
    write(check({"source": "a.csv", "horizon": 3}, "a test"), record, resolved)
    with pytest.raises(BadInput, match=r"on which data .* --fresh"):
        read_resolved(record)

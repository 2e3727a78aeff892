"""The causal scale of many series at once, against one origin at a time."""

import numpy as np
import pytest

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.features.contexts import scale_at


def scale_of(values: np.ndarray, season: int) -> float:
    """Scale after a history, as the docstring says it."""
    for lag in (season, 1):
        change = np.abs(values[lag:] - values[:-lag])
        change = change[np.isfinite(change)]
        if len(change) and change.mean() > 0:
            return float(change.mean())
    known = np.abs(values[np.isfinite(values)])
    return float(1e-3 * known.mean()) if len(known) and known.mean() > 0 else 1.0


@pytest.fixture
def panel() -> Panel:
    rng = np.random.default_rng(0)
    series = [rng.normal(100, 10.0**i, size) for i, size in enumerate((3, 40, 1, 17, 90))]
    series[1][[0, 5, 6]] = np.nan
    series[3][:] = 7.0
    return Panel.of([*series, np.zeros(9)])


def test_every_season_asked_for_equals_the_slow_twin_at_every_origin(panel: Panel) -> None:
    origins = Origins.between(np.zeros(panel.n_series, dtype=np.int64), panel.ends_S)
    for season in (1, 12, 7, 12):  # one panel keeps the scales of several seasons
        slow = [scale_of(panel.values(i)[: step + 1], season) for i, step in zip(origins.series, origins.step, strict=True)]
        np.testing.assert_allclose(scale_at(panel, origins, season), slow, rtol=1e-12)


def test_a_panel_with_other_values_has_other_scales(panel: Panel) -> None:
    origins = Origins.ends(panel)
    before = scale_at(panel, origins, 1)
    doubled = Panel.of([2 * panel.values(i) for i in range(panel.n_series)])
    is_unit = before == 1.0  # the series that is zero throughout
    np.testing.assert_allclose(scale_at(doubled, origins, 1)[~is_unit], 2 * before[~is_unit])
    np.testing.assert_array_equal(scale_at(panel, origins, 1), before)


def test_what_a_caller_does_to_its_scales_changes_nobody_elses(panel: Panel) -> None:
    origins = Origins.ends(panel)
    before = scale_at(panel, origins, 1)
    scale_at(panel, origins, 1)[:] = -1.0
    np.testing.assert_array_equal(scale_at(panel, origins, 1), before)

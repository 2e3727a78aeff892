import logging
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from ensemble_forecast import persist
from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.averages import Mean
from ensemble_forecast.ensemble.base import Rows
from ensemble_forecast.ensemble.calibration import Calibration
from ensemble_forecast.ensemble.model import Ensemble, plausible
from ensemble_forecast.ensemble.selection import BestSingle
from ensemble_forecast.learners.base import Learner

NEVER = Deadline.never()
TASK = Task(horizon=3, quantiles=(0.1, 0.5, 0.9))


@dataclass(kw_only=True)
class LastValue(Learner):
    """The last value plus a constant, with fixed widths; serves from a least history on."""

    family: ClassVar[str] = "last_value"
    group: ClassVar[str] = "statistical"
    plus: float = 0.0
    least: int = 1

    def fit(self, panel, roles, task, deadline):  # noqa: ARG002
        self.horizon_ = task.horizon
        return self

    def predict(self, panel, origins, deadline):  # noqa: ARG002
        assert self.plus != 666, "a member without weight was asked"
        last_N = panel.y_filled[origins.rows(panel)] + self.plus
        forecast = last_N[:, None, None] + np.zeros((len(origins), self.horizon_, 1)) + np.array([-1.0, 0.0, 1.0])
        forecast[origins.step + 1 < self.least] = np.nan
        return forecast


def last_value(**fields):
    return LastValue(**fields).fit(None, None, TASK, NEVER)


def ensemble(*members, combiner=None):
    """Members under equal weights, no calibration."""
    rows = Rows.ahead(np.zeros(0, dtype=int))
    empty = np.empty((0, 3, 3, len(members)))
    return Ensemble(
        task=TASK,
        members={f"m{i}": member for i, member in enumerate(members)},
        combiner=(combiner or Mean().fit(empty, np.empty((0, 3)), rows, TASK, NEVER)),
        calibration=Calibration().fit(empty[..., 0], np.empty((0, 3)), rows, TASK),
        fallback=last_value(plus=0.5),
    )


@pytest.fixture
def panel():
    rng = np.random.default_rng(0)
    return Panel.of([50 + rng.normal(size=n).cumsum() for n in (30, 8, 50)])


def test_it_averages_its_members_at_every_origin(panel):
    origins = Origins.between(np.full(3, 7), panel.ends_S)  # early on, plausible bounds are narrower than these forecasts
    forecast = ensemble(last_value(), last_value(plus=1.0)).predict(panel, origins, NEVER)
    expected = panel.y[origins.rows(panel)] + 0.5
    np.testing.assert_allclose(forecast[:, 0], expected[:, None] + np.array([-1.0, 0.0, 1.0]))


def test_origins_that_nobody_serves_go_to_the_naive_and_are_counted(panel, caplog):
    with caplog.at_level(logging.WARNING):
        forecast = ensemble(last_value(least=20)).predict(panel, Origins.ends(panel), NEVER)
    assert forecast[1, 0, 1] == panel.values(1)[-1] + 0.5
    assert forecast[0, 0, 1] == panel.values(0)[-1]
    assert "1 of 3 origins" in caplog.text


def test_members_without_weight_are_not_evaluated(panel):
    best = BestSingle().fit(np.array([1.0, 9.0]) * np.ones((4, 3, 3, 1)), np.ones((4, 3)), Rows(*np.zeros((3, 4), int), np.ones(4)), TASK, NEVER)
    forecast = ensemble(last_value(), last_value(plus=666), combiner=best).predict(panel, Origins.ends(panel), NEVER)
    assert forecast[0, 0, 1] == panel.values(0)[-1]


def test_explosions_are_clipped_to_what_the_history_makes_plausible(panel):
    forecast = ensemble(last_value(plus=1e9)).predict(panel, Origins.ends(panel), NEVER)
    for i in range(3):
        values = panel.values(i)
        assert forecast[i].max() == pytest.approx(values.max() + 1.5 * (values.max() - values.min()))


def test_plausible_bounds_agree_with_a_loop_and_read_nothing_later():
    panel = Panel.of([np.array([3.0, np.nan, 1.0, 9.0]), np.array([-1.0, 2.0, 5.0]), np.array([np.nan, 4.0, 4.0]), np.zeros(3)])
    origins = Origins(np.array([3, 0, 1, 2, 0, 2]), np.array([2, 3, 2, 2, 1, 0]))
    low, high = plausible(panel, origins)
    for n, (i, step) in enumerate(zip(origins.series, origins.step, strict=True)):
        seen = panel.values(i)[: step + 1]
        seen = seen[np.isfinite(seen)]
        if len(seen):
            spread = seen.max() - seen.min() or abs(seen.max())
            assert high[n] == seen.max() + 1.5 * spread
            assert low[n] == (max(0.0, seen.min() - spread) if seen.min() >= 0 else seen.min() - spread)
        else:
            assert (low[n], high[n]) == (-np.inf, np.inf)


def test_a_forecast_does_not_depend_on_the_other_origins_or_the_future(panel):
    model = ensemble(last_value(), last_value(plus=1.0), last_value(least=12))
    origins = Origins.between(np.full(3, 3), panel.ends_S)
    together = model.predict(panel, origins, NEVER)
    cut = panel.cut(np.array([10, 5, 20]))
    for i, step in ((0, 10), (1, 5), (2, 20)):
        alone = model.predict(cut, Origins(np.array([i]), np.array([step])), NEVER)
        assert alone.tobytes() == together[(origins.series == i) & (origins.step == step)].tobytes()


def test_no_origins_give_no_forecasts(panel):
    none = Origins(np.empty(0, dtype=int), np.empty(0, dtype=int))
    assert ensemble(last_value()).predict(panel, none, NEVER).shape == (0, 3, 3)


def test_it_survives_save_and_load(panel, tmp_path):
    model = ensemble(last_value(), last_value(plus=1.0))
    persist.save(tmp_path / "art", {name: part for name, part in model.parts().items() if not isinstance(part, LastValue)}, {})
    parts = persist.load(tmp_path / "art")[0]
    learners = {name: part for name, part in model.parts().items() if isinstance(part, LastValue)}
    again = Ensemble.from_parts(parts | learners)
    assert list(again.members) == ["m0", "m1"]
    origins = Origins.ends(panel)
    assert again.predict(panel, origins, NEVER).tobytes() == model.predict(panel, origins, NEVER).tobytes()

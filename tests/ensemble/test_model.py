import logging
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from ensemble_forecast import persist
from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.averages import Mean
from ensemble_forecast.ensemble.base import Combiner, Needs, Rows
from ensemble_forecast.ensemble.calibration import Calibration
from ensemble_forecast.ensemble.model import Ensemble, plausible
from ensemble_forecast.ensemble.selection import BestSingle
from ensemble_forecast.ensemble.traits import traits_at
from ensemble_forecast.features.contexts import scale_at
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
    none = np.zeros(0, dtype=int)
    rows = Rows(none, none, none, np.zeros(0))
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


@dataclass(kw_only=True)
class Witness(Combiner):
    """Remembers the rows it was given."""

    family: ClassVar[str] = "witness"
    needs: ClassVar[Needs] = Needs()

    def fit(self, forecasts_NHQM, truth_NH, rows, task, deadline):  # noqa: ARG002
        self.weights_M_ = np.ones(1)
        return self

    def combine(self, forecasts_NHQM, rows):
        self._rows = rows
        return forecasts_NHQM[..., 0]


class Reader(Witness):
    needs: ClassVar[Needs] = Needs(traits=True)


def asked(witness, panel, ids):
    model = replace(ensemble(last_value(), combiner=witness.fit(None, None, None, None, None)), ids=ids)
    origins = Origins.ends(panel)
    model.predict(panel, origins, NEVER)
    return witness._rows, origins


def test_a_series_is_known_by_its_name_wherever_it_stands(panel):
    rows, _ = asked(Witness(), panel, ("other", "series_2", "series_0"))
    assert rows.series.tolist() == [2, -1, 1]
    assert asked(Witness(), panel, ())[0].series.tolist() == [-1, -1, -1]


def test_the_combiner_is_told_the_scale_and_the_traits_only_where_it_reads_them(panel):
    rows, origins = asked(Witness(), panel, ())
    np.testing.assert_array_equal(rows.scale, scale_at(panel, origins, 1))
    assert rows.traits_NF.shape == (3, 0)
    rows, _ = asked(Reader(), panel, ())
    np.testing.assert_array_equal(rows.traits_NF, traits_at(panel, origins, 1))


def test_names_and_ends_survive_save_and_load(panel):
    model = replace(ensemble(last_value()), ids=("a", "b"), until=("2024-01-01", "2024-01-02"))
    again = Ensemble.from_parts(model.parts())
    assert (again.ids, again.until) == (model.ids, model.until)


def live(n_after):
    """One series whose steps grow tenfold after the fit, and an ensemble that saw its first 60 steps."""
    rng = np.random.default_rng(0)
    steps = np.concatenate([rng.normal(size=60), 10 * rng.normal(size=n_after)])
    panel = Panel.of([100 + steps.cumsum()])
    return panel, replace(ensemble(last_value()), ids=panel.ids, until=(str(panel.stamps(0, 59, 1)[0].to_datetime64()),))


def test_a_live_series_is_followed_and_the_past_before_the_fit_is_left_alone():
    panel, adaptive = live(80)
    origins = Origins.between(np.array([20]), np.array([130]))
    forecast, static = (each.predict(panel, origins, NEVER) for each in (adaptive, replace(adaptive, ids=(), until=())))
    before = origins.step <= 59
    assert forecast[before].tobytes() == static[before].tobytes()
    wide, narrow = forecast[-1, :, 2] - forecast[-1, :, 0], static[-1, :, 2] - static[-1, :, 0]
    assert (wide > 1.5 * narrow).all()
    np.testing.assert_allclose(forecast[..., 1], static[..., 1])


def test_a_live_forecast_reads_nothing_later_than_its_origin_and_depends_on_no_other():
    panel, adaptive = live(80)
    origins = Origins(np.array([0, 0]), np.array([100, 130]))
    both = adaptive.predict(panel, origins, NEVER)
    alone = adaptive.predict(panel, origins.take(np.array([0])), NEVER)
    scrambled = replace(panel, y=np.concatenate([panel.y[:101], np.random.default_rng(1).normal(size=len(panel.y) - 101)]))
    assert both[0].tobytes() == alone[0].tobytes()
    assert adaptive.predict(scrambled, origins.take(np.array([0])), NEVER)[0].tobytes() == alone[0].tobytes()


def test_a_series_of_another_name_is_not_taken_for_one_that_went_on():
    panel, adaptive = live(80)
    stranger = replace(panel, ids=("stranger",))
    origins = Origins.ends(panel)
    assert adaptive.predict(stranger, origins, NEVER).tobytes() != adaptive.predict(panel, origins, NEVER).tobytes()


def test_a_live_forecast_does_not_depend_on_the_series_that_come_with_it():
    panel, adaptive = live(80)
    company = Panel.of([panel.y, *(panel.y[:40] for _ in range(30))])
    alone, among = (adaptive.predict(each, Origins(np.array([0]), np.array([130])), NEVER) for each in (panel, company))
    assert among.tobytes() == alone.tobytes()


def test_an_ensemble_of_many_series_is_left_alone_whoever_is_asked_for():
    panel, adaptive = live(80)
    many = replace(adaptive, ids=(*panel.ids, *map(str, range(30))), until=31 * adaptive.until)
    origins = Origins.ends(panel)
    assert many.predict(panel, origins, NEVER).tobytes() == replace(adaptive, ids=(), until=()).predict(panel, origins, NEVER).tobytes()

"""Every registered learner, net and wrapper, crossed with every law of its contract (see learners/base.py)."""

import functools
import json
import pickle
from dataclasses import dataclass, fields, replace
from typing import ClassVar

import numpy as np
import pytest
from smoke import ready, smoke

from ensemble_forecast import persist
from ensemble_forecast.data.origins import Origins, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import NotFitted, TooShort
from ensemble_forecast.learners.base import Learner, build, describe, recipe_for_refit
from ensemble_forecast.registry import LEARNERS, NETS, WRAPPERS
from ensemble_forecast.windows import Roles, roles_until

HORIZON, SEASON, LEVELS = 3, 4, (0.1, 0.5, 0.9)
MIN_CONTEXT = 8
NEVER = Deadline.never()


def wave(length, seed, level=50.0):
    """A positive series with a season of 4, a trend and noise."""
    rng = np.random.default_rng(seed)
    step = np.arange(length)
    return level + 0.05 * step + 5 * np.sin(2 * np.pi * step / SEASON) + rng.normal(0, 2, length).cumsum() * 0.3 + rng.normal(0, 1, length)


def long_panel():
    """One long series with two past covariates."""
    rng = np.random.default_rng(1)
    return Panel.of([wave(150, 0)], past=[rng.normal(size=(150, 2))])


def several_panel():
    """Short series of different lengths, one constant, one of six steps, with a known and a static covariate."""
    series = [wave(60, 2), wave(45, 3, 500.0), np.full(40, 7.0), wave(6, 4), wave(30, 5, 5e4)]
    ahead = [np.concatenate([values, np.full(HORIZON, np.nan)]) for values in series]
    panel = Panel.of(ahead)
    known = np.random.default_rng(6).normal(size=(len(panel.y), 1))
    lengths_S = np.array([len(values) for values in series])
    return replace(panel, lengths_S=lengths_S, known=known, known_names=("k",), static=np.arange(5.0)[:, None], static_names=("s",))


def gappy_panel():
    """Two series with missing targets: single steps, a run longer than the season, and at the very start."""
    one, two = wave(90, 7), wave(50, 8)
    one[[0, 1, 20, 33, 61]] = np.nan
    one[40:47] = np.nan
    two[[10, 11, 44]] = np.nan
    return Panel.of([one, two])


PANELS = {"long": long_panel(), "several": several_panel(), "gappy": gappy_panel()}


def cutoffs(panel):
    """Last step that `fit` sees, per series: a few steps remain to forecast from."""
    return panel.ends_S - np.minimum(8, panel.lengths_S // 3)


def roles_of(panel, task, **options):
    return roles_until(panel, task, cutoffs(panel), MIN_CONTEXT, **options)


def task_of(kind):
    label = {"kind": "direction", "label": "barrier"} if kind == "barrier" else {"kind": kind}
    return Task(horizon=HORIZON, season_length=SEASON, quantiles=LEVELS, **label)


def fit(learner, panel, task, **options):
    return learner.fit(panel.cut(cutoffs(panel), HORIZON), roles_of(panel, task, **options), task, NEVER)


@functools.cache
def fitted(name, kind, panel_name):
    return fit(ready(name), PANELS[panel_name], task_of(kind))


def some_origins(panel):
    """Early, middle and late origins of every series, in no particular order."""
    ends_S = panel.ends_S
    step = np.concatenate([np.minimum(2, ends_S), ends_S // 2, cutoffs(panel), ends_S])
    return Origins(np.tile(np.arange(panel.n_series), 4), step)


NAMES = [*LEARNERS, *NETS, *WRAPPERS]
CASES = [(name, kind) for name in NAMES for kind in smoke(name).kinds]
every_learner = pytest.mark.parametrize("name", NAMES)
every_case = pytest.mark.parametrize(("name", "kind"), CASES)
every_panel = pytest.mark.parametrize("panel_name", PANELS)


def scrambled(panel, step_S):
    """The same panel with everything after a step of each series turned to noise; what is known ahead only after the horizon."""
    rng = np.random.default_rng(99)
    step = np.arange(len(panel.y)) - np.repeat(panel.offsets[:-1], np.diff(panel.offsets))
    last = np.repeat(step_S, np.diff(panel.offsets))
    later, beyond = step > last, step > last + HORIZON
    observed = later & np.isfinite(panel.y)
    y = np.where(observed, rng.normal(0, 1e3, len(panel.y)), panel.y)
    past = np.where(later[:, None], rng.normal(0, 1e3, panel.past.shape), panel.past)
    known = np.where(beyond[:, None], rng.normal(0, 1e3, panel.known.shape), panel.known)
    return replace(panel, y=y, past=past, known=known)


def assert_future_blind(learner, panel):
    for step_S in (cutoffs(panel), panel.ends_S // 2, np.minimum(2, panel.ends_S)):
        origins = Origins(np.arange(panel.n_series), step_S)
        seen = learner.predict(panel, origins, NEVER)
        assert seen.tobytes() == learner.predict(scrambled(panel, step_S), origins, NEVER).tobytes(), "it read values after the origin"
        assert seen.tobytes() == learner.predict(panel.cut(step_S, HORIZON), origins, NEVER).tobytes(), "it read how many steps come after the origin"


def assert_independent_of_company(learner, panel):
    """To a relative 1e-5, not to the bit: matrix products round differently with other shapes, and nets count in 32 bits."""
    origins = some_origins(panel)
    together = learner.predict(panel, origins, NEVER)
    alone = np.concatenate([learner.predict(panel, origins.take(np.array([i])), NEVER) for i in range(len(origins))])
    backwards = learner.predict(panel, origins.take(np.arange(len(origins))[::-1]), NEVER)[::-1]
    for other in (alone, backwards):
        np.testing.assert_allclose(other, together, rtol=1e-5, atol=1e-6)


def assert_inputs_untouched(learner, panel, task):
    roles = roles_of(panel, task)
    origins = some_origins(panel)
    history = panel.cut(cutoffs(panel), HORIZON)
    seen = [history, panel, roles.fit, origins, *([roles.stop] if roles.stop else [])]
    before = [content(item) for item in seen]
    config = describe(learner)
    learner.fit(history, roles, task, NEVER).predict(panel, origins, NEVER)
    assert before == [content(item) for item in seen]
    assert describe(learner) == config


def content(record):
    """The bytes of every array of a record."""
    return {
        item.name: np.asarray(getattr(record, item.name)).tobytes() for item in fields(record) if isinstance(getattr(record, item.name), np.ndarray)
    }


@every_case
@every_panel
def test_forecasts_are_blind_to_the_future(name, kind, panel_name):
    assert_future_blind(fitted(name, kind, panel_name), PANELS[panel_name])


@every_case
@every_panel
def test_a_forecast_does_not_depend_on_the_other_origins_asked(name, kind, panel_name):
    assert_independent_of_company(fitted(name, kind, panel_name), PANELS[panel_name])


@every_case
def test_inputs_and_fields_are_left_untouched(name, kind):
    assert_inputs_untouched(ready(name), PANELS["several"], task_of(kind))


@every_case
@every_panel
def test_forecasts_are_coherent(name, kind, panel_name):
    panel = PANELS[panel_name]
    forecast_NHQ = fitted(name, kind, panel_name).predict(panel, some_origins(panel), NEVER)
    assert forecast_NHQ.dtype == np.float64
    missing_N = np.isnan(forecast_NHQ).any(axis=(1, 2))
    assert np.isnan(forecast_NHQ[missing_N]).all(), "an origin is served wholly or not at all"
    served = forecast_NHQ[~missing_N]
    assert np.isfinite(served).all()
    if kind == "quantiles":
        assert (np.diff(served, axis=-1) >= 0).all()
    else:
        assert ((served >= 0) & (served <= 1)).all()
        np.testing.assert_allclose(served.sum(axis=-1), 1, rtol=1e-9)


@every_case
@every_panel
@pytest.mark.parametrize("count", [1, 3])
def test_forecasts_have_their_shape(name, kind, panel_name, count):
    panel = PANELS[panel_name]
    origins = some_origins(panel).take(np.arange(count))
    assert fitted(name, kind, panel_name).predict(panel, origins, NEVER).shape == (count, HORIZON, task_of(kind).n_outputs)


@every_case
@every_panel
def test_a_long_history_is_always_served(name, kind, panel_name):
    panel = PANELS[panel_name]
    origins = Origins.ends(panel).take(panel.lengths_S >= 40)
    assert np.isfinite(fitted(name, kind, panel_name).predict(panel, origins, NEVER)).all()


@every_case
def test_the_same_seed_gives_the_same_forecasts(name, kind):
    panel = PANELS["several"]
    again = fit(ready(name), panel, task_of(kind)).predict(panel, some_origins(panel), NEVER)
    assert again.tobytes() == fitted(name, kind, "several").predict(panel, some_origins(panel), NEVER).tobytes()


@every_case
def test_fit_starts_afresh(name, kind):
    panel = PANELS["several"]
    learner = fit(ready(name), PANELS["gappy"], task_of(kind))
    again = fit(learner, panel, task_of(kind))
    assert again is learner
    assert (
        again.predict(panel, some_origins(panel), NEVER).tobytes()
        == fitted(name, kind, "several").predict(panel, some_origins(panel), NEVER).tobytes()
    )


@every_case
@every_panel
def test_a_learner_survives_save_and_load(name, kind, panel_name, tmp_path):
    learner, panel = fitted(name, kind, panel_name), PANELS[panel_name]
    persist.save(tmp_path / "art", {"member": learner}, {})
    loaded = persist.load(tmp_path / "art")[0]["member"]
    assert loaded == learner
    origins = some_origins(panel)
    assert loaded.predict(panel, origins, NEVER).tobytes() == learner.predict(panel, origins, NEVER).tobytes()
    persist.save(tmp_path / "again", {"member": loaded}, {})
    assert bytes_of(tmp_path / "again") == bytes_of(tmp_path / "art"), "predict changed what is saved, or loading lost something"


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@every_case
def test_a_learner_survives_pickle(name, kind):
    learner, panel = fitted(name, kind, "several"), PANELS["several"]
    copy = pickle.loads(pickle.dumps(learner))
    origins = some_origins(panel)
    assert copy.predict(panel, origins, NEVER).tobytes() == learner.predict(panel, origins, NEVER).tobytes()


@every_learner
def test_a_learner_is_its_config(name):
    for learner in (ready(name), fitted(name, ready(name).kinds[0], "long")):
        config = describe(learner)
        assert config["family"] == name
        assert build(config) == learner
        assert build(json.loads(json.dumps(config))) == learner


@every_learner
def test_an_unfitted_learner_refuses_to_predict(name):
    panel = PANELS["long"]
    with pytest.raises(NotFitted, match="fit"):
        ready(name).predict(panel, Origins.ends(panel), NEVER)


@every_case
@every_panel
def test_the_refit_needs_no_stop_role(name, kind, panel_name):
    panel = PANELS[panel_name]
    recipe = recipe_for_refit(fitted(name, kind, panel_name))
    assert not any(attribute.endswith("_") for attribute in vars(recipe)), "a recipe has learnt nothing"
    refitted = fit(recipe, panel, task_of(kind), with_stop=False)
    assert refitted.truncated_ is False
    assert describe(recipe_for_refit(refitted)) == describe(recipe), "without a stop role the length is the one the fields name"
    origins = Origins.ends(panel).take(panel.lengths_S >= 40)
    assert np.isfinite(refitted.predict(panel, origins, NEVER)).all()


@every_case
def test_another_horizon_season_and_levels_are_served(name, kind):
    panel = PANELS["long"]
    task = replace(task_of(kind), horizon=1, season_length=1, quantiles=(0.5,))
    forecast_NHQ = fit(ready(name), panel, task).predict(panel, Origins.ends(panel), NEVER)
    assert forecast_NHQ.shape == (1, 1, task.n_outputs)
    assert np.isfinite(forecast_NHQ).all()


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, kind in CASES if smoke(name).learns_from_origins])
def test_no_origin_to_learn_from_is_too_short(name, kind):
    nothing = Origins(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    with pytest.raises(TooShort):
        ready(name).fit(PANELS["long"], Roles(nothing), task_of(kind), NEVER)


@every_case
def test_a_past_deadline_truncates_and_says_so_in_a_bool(name, kind):
    panel = PANELS["long"]
    task = task_of(kind)
    learner = ready(name).fit(panel.cut(cutoffs(panel), HORIZON), roles_of(panel, task), task, Deadline.after(0))
    assert isinstance(learner.truncated_, bool)
    assert np.isfinite(learner.predict(panel, Origins.ends(panel), NEVER)).all()


@pytest.mark.parametrize("name", [name for name in NAMES if smoke(name).corrects])
def test_a_correcting_learner_follows_its_base(name):
    panel, task = PANELS["several"], task_of("quantiles")
    roles = roles_of(panel, task)
    truth_NH = np.nan_to_num(truth(panel, roles.fit, HORIZON))
    based = Roles(replace(roles.fit, base_NH=truth_NH * 0.9), None)
    learner = ready(name).fit(panel.cut(cutoffs(panel), HORIZON), based, task, NEVER)
    origins = Origins.ends(panel).take(panel.lengths_S >= 40)
    low, high = (learner.predict(panel, replace(origins, base_NH=np.full((len(origins), HORIZON), base)), NEVER) for base in (1e3, 1e4))
    assert low.shape == high.shape == (len(origins), HORIZON, len(LEVELS))
    assert (high > low).all(), "a higher base must give a higher forecast"


@every_learner
def test_a_learner_says_what_it_is(name):
    learner = ready(name)
    assert learner.family == name
    assert learner.group in {"linear", "statistical", "trees", "deep"}
    assert set(learner.kinds) <= {"quantiles", "direction", "barrier"}
    assert learner.kinds


@dataclass(kw_only=True)
class Cheat(Learner):
    """Forecasts with what it must not see: a sin for each way to sin."""

    family: ClassVar[str] = "cheat"
    sin: str = "none"

    def fit(self, panel, roles, task, deadline):  # noqa: ARG002
        if self.sin == "writes to its input":
            roles.fit.step[0] = 0
        if self.sin == "changes its fields":
            self.sin = "changed"
        self.shape_ = (task.horizon, len(task.quantiles))
        return self

    def predict(self, panel, origins, deadline):  # noqa: ARG002
        row_N = origins.rows(panel)
        value_N = panel.y_filled[row_N]
        if self.sin == "peeks one step ahead":
            value_N = panel.y_filled[np.minimum(row_N + 1, len(panel.y) - 1)]
        if self.sin == "scales by the whole panel":
            value_N = value_N / np.nanmax(np.abs(panel.y))
        if self.sin == "knows the length":
            value_N = value_N + panel.lengths_S[origins.series]
        if self.sin == "subtracts the mean of the call":
            value_N = value_N - value_N.mean()
        return np.broadcast_to(value_N[:, None, None], (len(origins), *self.shape_)).copy()


@pytest.mark.parametrize("sin", ["peeks one step ahead", "scales by the whole panel", "knows the length"])
def test_the_law_catches_who_reads_the_future(sin):
    honest, cheat = (fit(Cheat(sin=which), PANELS["several"], task_of("quantiles")) for which in ("none", sin))
    assert_future_blind(honest, PANELS["several"])
    with pytest.raises(AssertionError, match="it read"):
        assert_future_blind(cheat, PANELS["several"])


def test_the_law_catches_who_looks_at_the_other_origins():
    honest, cheat = (fit(Cheat(sin=which), PANELS["several"], task_of("quantiles")) for which in ("none", "subtracts the mean of the call"))
    assert_independent_of_company(honest, PANELS["several"])
    with pytest.raises(AssertionError, match="Not equal"):
        assert_independent_of_company(cheat, PANELS["several"])


@pytest.mark.parametrize("sin", ["writes to its input", "changes its fields"])
def test_the_law_catches_who_changes_what_is_not_its_own(sin):
    assert_inputs_untouched(Cheat(), PANELS["several"], task_of("quantiles"))
    with pytest.raises(AssertionError):
        assert_inputs_untouched(Cheat(sin=sin), PANELS["several"], task_of("quantiles"))

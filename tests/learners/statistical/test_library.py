"""The learners that come from statsforecast, against the library itself."""

import dataclasses
import math
import sys
import warnings

import numpy as np
import pytest
import statsforecast.models as library

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, MissingPackage, TooShort
from ensemble_forecast.learners.base import Size, build
from ensemble_forecast.learners.statistical.arima import DRIFT, INTERCEPT, NO_CONSTANT, SHAPE, Arima
from ensemble_forecast.learners.statistical.ces import Ces
from ensemble_forecast.learners.statistical.library import GivingUp
from ensemble_forecast.learners.statistical.mstl import Mstl
from ensemble_forecast.windows import Roles, roles_until

TASK = Task(horizon=5, season_length=4)
NEVER = Deadline.never()
CUTOFF = 45
SEASON_AND_WEEK = [4, 7]  # the panel's calendar is daily


def quiet(function, *args):
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        return function(*args)


def reference(learner):
    """The same model, as a user of the library builds it."""
    if isinstance(learner, Ces):
        letter = {"auto": "Z", "none": "N", "simple": "S", "partial": "P", "full": "F"}[learner.seasonality]
        return library.AutoCES(season_length=4, model=letter)
    if isinstance(learner, Arima):
        season, order = 4 if learner.seasonal else 1, learner.max_order
        return library.AutoARIMA(season_length=season, max_p=order, max_q=order, max_P=order, max_Q=order, start_p=order, start_q=order)
    seasons = SEASON_AND_WEEK if learner.long_season else [4]
    return library.MSTL(season_length=seasons, trend_forecaster=library.AutoETS(model="ZZN"))


def make_panel():
    """Different enough for ARIMA to choose no constant, an intercept and a drift; some with seasons of 4 and 7 steps."""
    rng, step = np.random.default_rng(3), np.arange(60)
    season, week = 6 * np.sin(step * np.pi / 2), 4 * np.sin(2 * np.pi * step / 7)
    return Panel.of(
        [
            50 + season + week + rng.normal(size=60),
            80 + np.cumsum(rng.normal(size=60)),
            20 + np.cumsum(rng.normal(1.0, 0.3, size=60)),
            30 + rng.normal(size=60),
            500 + 3 * season + np.cumsum(rng.normal(size=60)),
        ]
    )


PANEL = make_panel()
ENDS = Origins(np.arange(5), np.full(5, CUTOFF))


def fit(learner, panel=PANEL, cutoff=CUTOFF, deadline=NEVER, task=TASK):
    cutoff_S = np.minimum(panel.ends_S, cutoff)
    return learner.fit(panel.cut(cutoff_S), roles_until(panel, task, cutoff_S, 10), task, deadline)


LEARNERS = {
    "ces": Ces(),
    "ces-simple": Ces(seasonality="simple"),
    "arima": Arima(max_order=1),
    "arima-plain": Arima(max_order=1, seasonal=False),
    "mstl": Mstl(),
    "mstl-one-season": Mstl(long_season=False),
}
every_learner = pytest.mark.parametrize("name", LEARNERS)


@pytest.fixture(scope="module")
def fitted():
    return {name: fit(dataclasses.replace(learner)) for name, learner in LEARNERS.items()}


@pytest.fixture(scope="module")
def direct():
    return {name: [quiet(reference(learner).fit, PANEL.values(i)[: CUTOFF + 1]) for i in range(5)] for name, learner in LEARNERS.items()}


def median(learner, panel=PANEL, origins=ENDS, deadline=NEVER):
    return learner.predict(panel, origins, deadline)[..., 4]


@every_learner
def test_the_median_is_what_the_library_forecasts(name, fitted, direct):
    expected = np.array([quiet(model.predict, 5)["mean"] for model in direct[name]])
    assert median(fitted[name]) == pytest.approx(expected, rel=1e-9)


@every_learner
@pytest.mark.parametrize("later", [1, 9])
def test_a_later_origin_is_served_by_the_models_forward(name, later, fitted, direct):
    step = CUTOFF + later
    past = [PANEL.values(i)[: step + 1] for i in range(5)]
    if fitted[name].carries:
        expected = np.array([quiet(model.forward, y, 5)["mean"] for model, y in zip(direct[name], past, strict=True)])
    else:
        expected = np.array([quiet(reference(fitted[name]).forecast, y, 5)["mean"] for y in past])
    assert median(fitted[name], origins=Origins(np.arange(5), np.full(5, step))) == pytest.approx(expected, rel=1e-9)


def refusing_to_fit(monkeypatch):
    def refuse(self, y_L, seasons):
        raise AssertionError("it was fitted again")

    for cls in (Ces, Arima, Mstl):
        monkeypatch.setattr(cls, "fit_series", refuse)


@every_learner
def test_what_was_fitted_once_is_not_fitted_again(name, fitted, monkeypatch):
    before = median(fitted[name])
    refusing_to_fit(monkeypatch)
    assert median(fitted[name]).tobytes() == before.tobytes()
    if fitted[name].carries:
        assert np.isfinite(median(fitted[name], origins=Origins(np.arange(5), np.full(5, 58)))).all()
    renamed = dataclasses.replace(PANEL, ids=tuple("abcde"))
    assert median(fitted[name], renamed).tobytes() == before.tobytes(), "a new name, but the same history"


@every_learner
def test_a_series_never_seen_is_fitted_when_it_is_asked_for(name, fitted):
    newcomer = Panel.of([PANEL.values(0)[: CUTOFF + 1] * 2 + 1], ids=["newcomer"])
    expected = quiet(reference(LEARNERS[name]).fit, newcomer.values(0))
    assert median(fitted[name], newcomer, Origins.ends(newcomer))[0] == pytest.approx(quiet(expected.predict, 5)["mean"], rel=1e-9)


@every_learner
def test_another_series_under_a_known_name_is_not_taken_for_it(name, fitted):
    impostor = Panel.of([7 * PANEL.values(2)[:40] - 90], ids=["series_0"])
    expected = quiet(reference(LEARNERS[name]).fit, impostor.values(0))
    assert median(fitted[name], impostor, Origins.ends(impostor))[0] == pytest.approx(quiet(expected.predict, 5)["mean"], rel=1e-9)


def test_arima_is_tried_with_every_kind_of_constant(fitted):
    assert {int(kind) for name in ("arima", "arima-plain") for kind in fitted[name].fits_["numbers_SP"][:, SHAPE]} == {NO_CONSTANT, INTERCEPT, DRIFT}


def test_mstl_uses_the_seasons_that_a_series_holds_two_of(fitted):
    assert fitted["mstl"].seasons_ == SEASON_AND_WEEK
    assert (fitted["mstl"].fits_["numbers_SP"][:, 0] == 2).all()
    short = Panel.of([PANEL.values(0)[:n] for n in (60, 60, 12, 7)])
    assert fit(Mstl(), short, 60).fits_["numbers_SP"][:, 0].tolist() == [2, 2, 1, 0]


@every_learner
def test_a_season_of_one_is_no_season(name):
    learner = fit(dataclasses.replace(LEARNERS[name]), task=Task(horizon=2, season_length=1))
    assert learner.seasons_ == ([7] if name == "mstl" else [])
    assert np.isfinite(learner.predict(PANEL, ENDS, NEVER)).all()


@every_learner
def test_a_constant_series_goes_on_and_one_that_cannot_be_fitted_is_left_out_and_counted(name):
    panel = Panel.of([PANEL.values(0), np.full(40, 3.0), np.zeros(40), np.array([1.0, 2.0, 4.0, 3.0]), np.array([np.nan, 5.0])])
    learner = fit(dataclasses.replace(LEARNERS[name]), panel, 60)
    forecast_NHQ = learner.predict(panel, Origins.ends(panel), NEVER)
    assert np.isfinite(forecast_NHQ[:3]).all()
    assert (forecast_NHQ[1:3, :, 4] == [[3.0] * 5, [0.0] * 5]).all()
    assert (forecast_NHQ[4, :, 4] == 5.0).all(), "one observation is constant"
    assert learner.failed_ == int(np.isnan(forecast_NHQ[3]).all()) == int(not isinstance(learner, Arima)), "four steps are enough for arima only"


class AfterChecks(Deadline):
    """A deadline that passes after it was looked at so often."""

    def __init__(self, checks):
        object.__setattr__(self, "at", math.inf)
        object.__setattr__(self, "checks", iter(range(checks)))

    def passed(self):
        return next(self.checks, None) is None


def test_a_fit_that_runs_out_of_time_says_so_and_keeps_what_it_has():
    learner = fit(Ces(), deadline=AfterChecks(2))
    assert learner.truncated_ is True
    assert np.isfinite(learner.fits_["numbers_SP"]).any(axis=1).tolist() == [True, True, False, False, False]
    assert np.isfinite(median(learner)).all(), "predict has time for the rest"
    backwards = ENDS.take(np.arange(5)[::-1])
    in_time = np.isfinite(median(learner, origins=backwards, deadline=AfterChecks(5))).all(axis=1)
    assert in_time.tolist() == [False, False, False, True, True], "those that need no fit come first"
    assert np.isnan(median(learner, deadline=Deadline.after(0))).all()
    assert fit(learner).truncated_ is False


def test_without_time_the_errors_of_one_series_are_measured_all_the_same():
    learner = fit(Ces(), deadline=Deadline.after(0))
    assert (learner.table_HQ_[:, -1] > learner.table_HQ_[:, 0]).all()


@pytest.mark.parametrize("cls", [Ces, Mstl])
def test_past_errors_are_those_of_parameters_that_had_not_seen_them(cls, monkeypatch):
    fitted_on, forecast_from = [], []

    def fit_series(self, y_L, seasons):
        fitted_on.append(len(y_L))
        return [1.0, 0.0]

    def forward(self, y_L, *rest):
        forecast_from.append((fitted_on[-1], len(y_L)))
        return np.zeros(5)

    monkeypatch.setattr(cls, "fit_series", fit_series)
    monkeypatch.setattr(cls, "forward", forward)
    fit(cls())
    assert all(fit_end <= origin for fit_end, origin in forecast_from)
    assert max(origin for _, origin in forecast_from) == CUTOFF + 1 - TASK.horizon
    assert len(fitted_on) == 5 + (5 if cls.carries else len(forecast_from)), "for its errors once a series, or once an origin; once for the future"


def test_errors_are_measured_on_a_hundred_series_at_most(monkeypatch):
    panel = Panel.of([20 + np.random.default_rng(i).normal(size=14) for i in range(130)])
    starts = []
    monkeypatch.setattr(Ces, "fit_series", lambda _, y_L, _seasons: starts.append(float(y_L[0])) or [])
    fit(Ces(), panel, 60, task=Task(horizon=2))
    for_errors, for_the_future = starts[:-130], starts[-130:]
    assert len(set(for_errors)) == 100
    assert len(set(for_the_future)) == 130


def test_only_what_the_library_says_when_it_gives_up_is_swallowed():
    for error in (Exception("no model able to be fitted"), NotImplementedError("tiny datasets"), ValueError(), ZeroDivisionError(), RuntimeError()):
        with GivingUp():
            raise error
    for error in (TooShort("a subclass"), TypeError("a bug"), KeyError("a bug"), MemoryError()):
        with pytest.raises(type(error)), GivingUp():
            raise error
    with GivingUp():
        warnings.warn("a doubtful fit", UserWarning, stacklevel=1)
    with pytest.warns(UserWarning, match="heard again"):
        warnings.warn("heard again", UserWarning, stacklevel=1)


def test_no_past_origin_is_too_short():
    nothing = Origins(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    with pytest.raises(TooShort, match="ces needs one past origin"):
        Ces().fit(PANEL, Roles(nothing), TASK, NEVER)


@pytest.mark.parametrize("family", ["ces", "arima", "mstl"])
def test_a_missing_package_is_named_with_the_way_out(family, monkeypatch):
    monkeypatch.setitem(sys.modules, "statsforecast", None)
    with pytest.raises(MissingPackage, match=rf"learner '{family}' needs statsforecast; install ensemble-forecast\[statistical\]"):
        build({"family": family, "params": {}})


def test_impossible_parameters_are_refused():
    with pytest.raises(BadInput, match="seasonality of ces must be one of auto, none"):
        Ces(seasonality="Z")
    with pytest.raises(BadInput, match="max_order of arima must lie between 1 and 5; got 6"):
        Arima(max_order=6)


def test_more_series_and_richer_models_are_more_work():
    few, many = (Size(n_series=n, n_fit=n, n_scored=n, length=100) for n in (10, 1000))
    assert Ces().work(few, TASK) < Ces().work(many, TASK) < Arima().work(many, TASK)
    assert Arima(max_order=2).work(many, TASK) < Arima().work(many, TASK)
    assert Ces(seasonality="none").work(many, TASK) < Ces().work(many, TASK)

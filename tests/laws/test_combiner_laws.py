"""Every registered combiner, crossed with every law of its contract (see ensemble/base.py)."""

import functools
import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest

from ensemble_forecast import persist
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Rows
from ensemble_forecast.errors import NotFitted
from ensemble_forecast.forecasts import tidy
from ensemble_forecast.registry import CALIBRATIONS, COMBINERS, find

N_SERIES, N_WINDOWS, HORIZON, MEMBERS = 6, 4, 3, 4
LEVELS = (0.1, 0.5, 0.9)
NEVER = Deadline.never()
KINDS = ("quantiles", "direction", "barrier")
every_case = pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in COMBINERS for kind in KINDS])


def learns_frequencies(name, kind):
    """Whether a rule answers with what happened when the members said so, rather than with what they say."""
    combiner = find(name, "combiners")
    return getattr(combiner, "calibrated", False) and kind in combiner.needs.kinds


every_average = pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in COMBINERS for kind in KINDS if not learns_frequencies(name, kind)]
)


def task_of(kind):
    label = {"kind": "direction", "label": "barrier"} if kind == "barrier" else {"kind": kind}
    return Task(horizon=HORIZON, season_length=4, quantiles=LEVELS, **label)


@functools.cache
def example(kind):
    """Forecasts of four members, two good ones among them, with what happened: (forecasts_NHQM, truth_NH, rows)."""
    rng = np.random.default_rng(0)
    n = N_SERIES * N_WINDOWS * 5
    rows = Rows(
        series=np.tile(np.arange(N_SERIES), N_WINDOWS * 5),
        window=np.repeat(np.arange(N_WINDOWS), N_SERIES * 5),
        step=np.repeat(np.arange(N_WINDOWS * 5), N_SERIES) + 40,
        scale=rng.uniform(1, 2, n),
    )
    noise_M = np.array([0.5, 0.6, 2.0, 3.0])
    if kind == "quantiles":
        truth_NH = rng.normal(10, 2, (n, HORIZON))
        point_NHM = truth_NH[..., None] + noise_M * rng.normal(size=(n, HORIZON, MEMBERS))
        forecasts_NHQM = point_NHM[:, :, None, :] + np.array([-1.3, 0, 1.3])[:, None] * noise_M
    elif kind == "barrier":
        truth_NH = rng.integers(0, 3, (n, HORIZON)).astype(float)
        odds = (truth_NH[..., None] == np.arange(3))[..., None] / noise_M + rng.normal(size=(n, HORIZON, 3, MEMBERS))
        forecasts_NHQM = np.exp(odds) / np.exp(odds).sum(axis=2, keepdims=True)
    else:
        truth_NH = (rng.random((n, HORIZON)) < 0.5).astype(float)
        up_NHM = 1 / (1 + np.exp(-((truth_NH[..., None] - 0.5) / noise_M + rng.normal(size=(n, HORIZON, MEMBERS)))))
        forecasts_NHQM = np.stack([1 - up_NHM, up_NHM], axis=2)
    truth_NH[3, 1] = np.nan
    return forecasts_NHQM, truth_NH, rows


def ahead(step):
    """Rows of forecasts of which nothing is known but the step."""
    unknown = np.full(len(step), -1)
    return Rows(unknown, unknown, step, np.full(len(step), np.nan))


def unseen(kind, count=7):
    """Forecasts into the unknown."""
    forecasts_NHQM, _, rows = example(kind)
    return forecasts_NHQM[:count], ahead(rows.step[:count])


def fit(name, kind, *, order=None, **task_options):
    forecasts_NHQM, truth_NH, rows = example(kind)
    forecasts_NHQM = forecasts_NHQM if order is None else forecasts_NHQM[..., order]
    return find(name, "combiners")().fit(forecasts_NHQM, truth_NH, rows, replace(task_of(kind), **task_options), NEVER)


@functools.cache
def fitted(name, kind):
    return fit(name, kind)


@every_case
def test_a_combination_is_coherent(name, kind):
    combined_NHQ = fitted(name, kind).combine(*unseen(kind))
    assert combined_NHQ.dtype == np.float64
    assert combined_NHQ.shape == (7, HORIZON, task_of(kind).n_outputs)
    assert np.isfinite(combined_NHQ).all()
    np.testing.assert_allclose(combined_NHQ, tidy(combined_NHQ, task_of(kind)), rtol=1e-12)


@every_case
def test_the_order_of_the_members_does_not_matter(name, kind):
    order = np.array([2, 0, 3, 1])
    forecasts_NHQM, rows = unseen(kind)
    shuffled = fit(name, kind, order=order).combine(forecasts_NHQM[..., order], rows)
    np.testing.assert_allclose(shuffled, fitted(name, kind).combine(forecasts_NHQM, rows), rtol=1e-6)


@every_average
def test_members_that_agree_are_believed(name, kind):
    forecasts_NHQM, rows = unseen(kind)
    same_NHQM = np.repeat(forecasts_NHQM[..., :1], MEMBERS, axis=-1)
    np.testing.assert_allclose(fitted(name, kind).combine(same_NHQM, rows), forecasts_NHQM[..., 0], rtol=1e-6)


@every_case
def test_a_member_that_is_missing_is_masked_and_the_others_serve(name, kind):
    forecasts_NHQM, rows = unseen(kind)
    gone_NHQM = forecasts_NHQM.copy()
    gone_NHQM[2, :, :, 1:] = np.nan
    combined = fitted(name, kind).combine(gone_NHQM, rows)
    others = np.arange(len(combined)) != 2
    whole = fitted(name, kind).combine(forecasts_NHQM, rows)
    np.testing.assert_allclose(combined[others], whole[others], rtol=1e-12)
    if fitted(name, kind).weights_M_[0] > 0 and not learns_frequencies(name, kind):
        np.testing.assert_allclose(combined[2], forecasts_NHQM[2, ..., 0], rtol=1e-6)


@every_case
def test_a_row_that_nobody_serves_is_missing(name, kind):
    forecasts_NHQM, rows = unseen(kind)
    gone_NHQM = forecasts_NHQM.copy()
    gone_NHQM[2] = np.nan
    missing = np.isnan(fitted(name, kind).combine(gone_NHQM, rows)).all(axis=(1, 2))
    assert missing.tolist() == [False, False, True, False, False, False, False]


@every_case
def test_missing_members_do_not_stop_the_fit(name, kind):
    forecasts_NHQM, truth_NH, rows = example(kind)
    gone_NHQM = forecasts_NHQM.copy()
    gone_NHQM[::3, :, :, 1] = np.nan
    gone_NHQM[5] = np.nan
    combiner = find(name, "combiners")().fit(gone_NHQM, truth_NH, rows, task_of(kind), NEVER)
    assert np.isfinite(combiner.combine(*unseen(kind))).all()


@every_case
def test_a_forecast_does_not_depend_on_the_other_rows(name, kind):
    forecasts_NHQM, rows = unseen(kind)
    together = fitted(name, kind).combine(forecasts_NHQM, rows)
    alone = fitted(name, kind).combine(forecasts_NHQM[4:5], rows.take(np.array([4])))
    assert alone.tobytes() == together[4:5].tobytes()


@every_case
def test_weights_are_shares(name, kind):
    weights_M = fitted(name, kind).weights_M_
    assert weights_M.shape == (MEMBERS,)
    assert (weights_M >= 0).all()
    assert weights_M.sum() == pytest.approx(1)


@every_case
def test_inputs_and_fields_are_left_untouched(name, kind):
    forecasts_NHQM, truth_NH, rows = example(kind)
    before = [array.tobytes() for array in (forecasts_NHQM, truth_NH, *vars(rows).values())]
    combiner = find(name, "combiners")()
    fields_before = asdict(combiner)
    combiner.fit(forecasts_NHQM, truth_NH, rows, task_of(kind), NEVER).combine(forecasts_NHQM, rows)
    assert before == [array.tobytes() for array in (forecasts_NHQM, truth_NH, *vars(rows).values())]
    assert asdict(combiner) == fields_before


@every_case
def test_the_same_seed_gives_the_same_bits_and_fit_starts_afresh(name, kind):
    once = fitted(name, kind).combine(*unseen(kind))
    forecasts_NHQM, truth_NH, rows = example(kind)
    twice = find(name, "combiners")().fit(forecasts_NHQM[..., ::-1], truth_NH, rows, task_of(kind), NEVER)
    assert twice.fit(forecasts_NHQM, truth_NH, rows, task_of(kind), NEVER) is twice
    assert twice.combine(*unseen(kind)).tobytes() == once.tobytes()


@every_case
def test_a_combiner_survives_save_and_load_and_pickle(name, kind, tmp_path):
    combiner = fitted(name, kind)
    persist.save(tmp_path / "art", {"combiner": combiner}, {})
    once = combiner.combine(*unseen(kind))
    for copy in (persist.load(tmp_path / "art")[0]["combiner"], pickle.loads(pickle.dumps(combiner))):
        assert copy == combiner
        assert copy.combine(*unseen(kind)).tobytes() == once.tobytes()


@pytest.mark.parametrize("name", COMBINERS)
def test_an_unfitted_combiner_refuses(name):
    with pytest.raises(NotFitted, match="fit"):
        find(name, "combiners")().combine(*unseen("quantiles"))


@every_case
def test_a_past_deadline_still_gives_a_combination(name, kind):
    forecasts_NHQM, truth_NH, rows = example(kind)
    combiner = find(name, "combiners")().fit(forecasts_NHQM, truth_NH, rows, task_of(kind), Deadline.after(0))
    assert np.isfinite(combiner.combine(*unseen(kind))).all()


@every_average
def test_one_member_is_returned_as_it_is(name, kind):
    forecasts_NHQM, truth_NH, rows = example(kind)
    combiner = find(name, "combiners")().fit(forecasts_NHQM[..., :1], truth_NH, rows, task_of(kind), NEVER)
    np.testing.assert_allclose(combiner.combine(forecasts_NHQM[:7, ..., :1], ahead(rows.step[:7])), forecasts_NHQM[:7, ..., 0], rtol=1e-6)


@every_case
def test_a_window_without_any_truth_does_not_stop_the_fit(name, kind):
    forecasts_NHQM, truth_NH, rows = example(kind)
    unknown_NH = np.where(rows.window[:, None] == 1, np.nan, truth_NH)
    combiner = find(name, "combiners")().fit(forecasts_NHQM, unknown_NH, rows, task_of(kind), NEVER)
    assert np.isfinite(combiner.combine(*unseen(kind))).all()


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in CALIBRATIONS for kind in KINDS])
def test_a_calibration_survives_save_and_load_and_keeps_forecasts_coherent(name, kind, tmp_path):
    forecasts_NHQM, truth_NH, rows = example(kind)
    calibration = find(name, "calibrations")().fit(forecasts_NHQM[..., 2], truth_NH, rows, task_of(kind))
    once = calibration.apply(forecasts_NHQM[:7, ..., 2])
    np.testing.assert_allclose(once, tidy(once, task_of(kind)), rtol=1e-12)
    assert (once != forecasts_NHQM[:7, ..., 2]).any(), "this forecaster is too sure or too shy: there is something to learn"
    persist.save(tmp_path / "art", {"calibration": calibration}, {})
    assert persist.load(tmp_path / "art")[0]["calibration"].apply(forecasts_NHQM[:7, ..., 2]).tobytes() == once.tobytes()

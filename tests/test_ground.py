"""The ground everything stands on: seeds, deadline, atomic, panel, origins, contexts, metrics, forecasts, windows. Slow obvious twins throughout."""

import math
import os
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import threadpoolctl
from sklearn.metrics import brier_score_loss, mean_pinball_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from ensemble_forecast import atomic, metrics, windows
from ensemble_forecast.data.origins import Origins, outcome, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import DECILES, Task
from ensemble_forecast.deadline import Deadline, seconds
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.contexts import gather, scale_at
from ensemble_forecast.forecasts import frame, normalise, probability_up, quantile_mean, residual_quantiles, tidy
from ensemble_forecast.seeds import derive, generator
from ensemble_forecast.threads import one_thread

LEVELS = (0.1, 0.5, 0.8)


def ragged(lengths, seed=0, gaps=0.0):
    """A panel of noise with known lengths, one past covariate, and a share of missing targets."""
    rng = np.random.default_rng(seed)
    series = [rng.normal(10, 3, length) for length in lengths]
    for values in series:
        values[rng.random(len(values)) < gaps] = np.nan
    return Panel.of(series, past=[rng.normal(size=(length, 1)) for length in lengths])


def every_origin(panel):
    return Origins.between(np.zeros(panel.n_series, dtype=int), panel.ends_S)


class TestSeeds:
    def test_the_streams_do_not_change_between_versions(self):
        assert derive(0, "bag", 3) == 3535287149

    def test_names_and_seeds_give_streams_of_their_own(self):
        derived = {derive(seed, name, number) for seed in range(5) for name in ("bag", "stop") for number in range(5)}
        assert len(derived) == 50
        assert generator(1, "a").random() == generator(1, "a").random() != generator(2, "a").random()


class TestDeadline:
    @pytest.mark.parametrize(("text", "expected"), [("90", 90), ("90s", 90), ("2m", 120), ("1h30m", 5400), ("1d", 86400), (0.5, 0.5), (" 2M ", 120)])
    def test_durations_are_read(self, text, expected):
        assert seconds(text) == expected

    @pytest.mark.parametrize("text", ["", "0", "-5", "m", "2 minutes", "1e3", "inf", "nan", "2m-", "m2", "5x", "1.2.3", -1, 0.0])
    def test_other_texts_are_refused(self, text):
        with pytest.raises(BadInput, match="positive duration"):
            seconds(text)

    def test_deadlines_pass_and_the_earlier_one_counts(self):
        assert Deadline.after(0).passed()
        assert Deadline.after(0).left() == 0
        assert not Deadline.never().passed()
        assert Deadline.never().left() == math.inf
        assert Deadline.never().within(60).left() == pytest.approx(60, abs=1)
        assert Deadline.after(5).within(60).left() == pytest.approx(5, abs=1)


class TestAtomic:
    def test_a_file_is_replaced_whole(self, tmp_path):
        atomic.write_text(tmp_path / "deep" / "a.txt", "old and longer")
        atomic.write_text(tmp_path / "deep" / "a.txt", "ü")
        assert (tmp_path / "deep" / "a.txt").read_bytes() == "ü".encode()
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.txt"]

    def test_json_is_the_same_for_the_same_content(self, tmp_path):
        atomic.write_json(tmp_path / "a", {"b": 1, "a": [0.1]})
        atomic.write_json(tmp_path / "b", {"a": [0.1], "b": 1})
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_a_crash_before_the_rename_leaves_the_old_file(self, tmp_path, monkeypatch):
        atomic.write_text(tmp_path / "a", "old")

        def crash(*_):
            raise OSError("power cut")

        monkeypatch.setattr(os, "replace", crash)
        with pytest.raises(OSError, match="power cut"):
            atomic.write_text(tmp_path / "a", "new")
        assert (tmp_path / "a").read_text() == "old"

    def test_lines_are_appended(self, tmp_path):
        atomic.append_line(tmp_path / "log", "one")
        atomic.append_line(tmp_path / "log", "two")
        assert (tmp_path / "log").read_text() == "one\ntwo\n"

    def test_a_folder_takes_the_place_of_an_older_one(self, tmp_path):
        for content in ("first", "second"):
            (tmp_path / "new" / "sub").mkdir(parents=True)
            (tmp_path / "new" / "sub" / "a").write_text(content)
            atomic.commit_folder(tmp_path / "new", tmp_path / "final")
        assert [path.name for path in tmp_path.iterdir()] == ["final"]
        assert (tmp_path / "final" / "sub" / "a").read_text() == "second"


class TestTask:
    @pytest.mark.parametrize(
        "wrong",
        [{"horizon": 0}, {"season_length": 0}, {"kind": "guess"}, {"quantiles": (0.5, 0.4)}, {"quantiles": (0.1, 0.9)}, {"quantiles": (0.0, 0.5)}],
    )
    def test_a_wrong_field_is_refused(self, wrong):
        with pytest.raises(BadInput, match="must"):
            Task(**({"horizon": 1} | wrong))

    def test_the_last_axis_is_levels_or_classes(self):
        assert Task(horizon=2).n_outputs == len(DECILES) == 9
        assert Task(horizon=2, kind="direction").n_outputs == 2


class TestPanel:
    def test_series_are_found_where_they_are(self):
        panel = Panel.of([np.arange(3.0), np.arange(5.0) + 10])
        assert panel.values(1).tolist() == [10, 11, 12, 13, 14]
        assert panel.ends_S.tolist() == [2, 4]
        assert panel.stamps(0, 2, 3).tolist() == pd.date_range("2000-01-03", periods=3).tolist()
        with pytest.raises(ValueError, match="read-only"):
            panel.y[0] = 1

    def test_gaps_are_filled_from_the_past_of_the_same_series(self):
        panel = ragged([30, 1, 40], seed=1, gaps=0.3)
        slow = []
        for i in range(panel.n_series):
            last = 0.0
            for value in panel.values(i):
                last = last if np.isnan(value) else value
                slow.append(last)
        assert panel.y_filled.tolist() == slow
        assert np.isnan(panel.y).any()

    @pytest.mark.parametrize("ahead", [0, 2])
    def test_a_cut_panel_holds_what_was_known_then(self, ahead):
        panel = ragged([6, 4, 5])
        known = np.arange(15.0)[:, None]
        panel = replace(panel, known=known, known_names=("k",))
        cut = panel.cut(np.array([3, -1, 9]), ahead)
        assert cut.lengths_S.tolist() == [4, 0, 5]
        for i, size in enumerate([min(4 + ahead, 6), 0, 5]):
            rows, cut_rows = slice(panel.offsets[i], panel.offsets[i] + size), slice(cut.offsets[i], cut.offsets[i + 1])
            seen = np.arange(size) < cut.lengths_S[i]
            np.testing.assert_array_equal(cut.y[cut_rows], np.where(seen, panel.y[rows], np.nan))
            np.testing.assert_array_equal(cut.past[cut_rows][:, 0], np.where(seen, panel.past[rows][:, 0], np.nan))
            np.testing.assert_array_equal(cut.known[cut_rows], known[rows])

    def test_a_cut_panel_forgets_what_it_had_computed(self):
        panel = ragged([20, 20], gaps=0.2)
        assert len(panel.y_filled) == 40
        assert len(panel.cut(np.array([4, 4])).y_filled) == 10


class TestOrigins:
    def test_between_lists_every_step_of_every_series(self):
        origins = Origins.between(np.array([2, 5, 0]), np.array([4, 3, 0]))
        slow = [(i, step) for i, (first, last) in enumerate([(2, 4), (5, 3), (0, 0)]) for step in range(first, last + 1)]
        assert list(zip(origins.series.tolist(), origins.step.tolist(), strict=True)) == slow

    def test_ends_skip_empty_series(self):
        ends = Origins.ends(ragged([3, 2]).cut(np.array([1, -1])))
        assert (ends.series.tolist(), ends.step.tolist()) == ([0], [1])

    def test_taking_origins_takes_their_base(self):
        origins = Origins(np.zeros(3, int), np.arange(3), np.arange(6.0).reshape(3, 2)).take(np.array([2, 0]))
        assert (origins.step.tolist(), origins.base_NH.tolist()) == ([2, 0], [[4, 5], [0, 1]])

    def test_truth_is_what_follows_and_nothing_of_the_next_series(self):
        panel, horizon = ragged([5, 3, 4], gaps=0.2), 3
        origins = every_origin(panel)
        slow = [
            [panel.values(i)[step + h] if step + h < panel.lengths_S[i] else np.nan for h in range(1, horizon + 1)]
            for i, step in zip(origins.series, origins.step, strict=True)
        ]
        np.testing.assert_array_equal(truth(panel, origins, horizon), slow)

    def test_up_means_above_the_last_observed_value(self):
        panel = Panel.of([np.array([1.0, 2.0, np.nan, 2.0, 1.0, 3.0])])
        labels = outcome(panel, every_origin(panel), Task(horizon=2, kind="direction"))
        np.testing.assert_array_equal(labels, [[1, np.nan], [np.nan, 0], [0, 0], [0, 1], [1, np.nan], [np.nan, np.nan]])


class TestContexts:
    def test_gather_reads_back_to_the_start_of_the_series(self):
        panel = ragged([5, 1, 7])
        origins = every_origin(panel)
        target_NL, past_NLC = gather(panel.y, panel, origins, 4), gather(panel.past, panel, origins, 4)
        for n, (i, step) in enumerate(zip(origins.series, origins.step, strict=True)):
            for back in range(4):
                row = panel.offsets[i] + step - back
                expected = (panel.y[row], panel.past[row, 0]) if step >= back else (np.nan, np.nan)
                np.testing.assert_array_equal((target_NL[n, -1 - back], past_NLC[n, -1 - back, 0]), expected)

    @pytest.mark.parametrize("season", [1, 3])
    def test_the_scale_is_the_mean_seasonal_error_so_far(self, season):
        panel = Panel.of([*(ragged([12, 2], gaps=0.2).values(i) for i in (0, 1)), np.full(6, 4.0), np.zeros(6), np.array([np.nan, 5.0, 6.0])])
        origins = every_origin(panel)
        slow = []
        for i, step in zip(origins.series, origins.step, strict=True):
            seen = panel.values(i)[: step + 1]
            tries = [np.abs(seen[lag:] - seen[:-lag]) for lag in (season, 1)] + [1e-3 * np.abs(seen), np.ones(1)]
            slow.append(next(m for errors in tries if (finite := errors[np.isfinite(errors)]).size and (m := finite.mean()) > 0))
        np.testing.assert_allclose(scale_at(panel, origins, season), slow, rtol=1e-12)

    def test_the_scale_ignores_later_and_other_values_to_the_bit(self):
        panel = ragged([20, 20])
        origins = Origins(np.array([1]), np.array([9]))
        other = Panel.of([panel.values(0) * 1e9, np.concatenate([panel.values(1)[:10], np.full(10, 1e9)])])
        assert scale_at(panel, origins, 2) == scale_at(other, origins, 2)


class TestMetrics:
    rng = np.random.default_rng(5)
    truth_NH = rng.normal(5, 2, (8, 3))
    forecast_NHQ = np.sort(rng.normal(5, 2, (8, 3, 3)), axis=-1)
    scale_N = rng.uniform(1, 2, 8)
    cells = tuple((n, h) for n in range(8) for h in range(3))

    def test_pinball_is_that_of_scikit_learn(self):
        ours = metrics.pinball(self.truth_NH, self.forecast_NHQ, LEVELS)
        for n, h in self.cells:
            slow = [2 * mean_pinball_loss([self.truth_NH[n, h]], [self.forecast_NHQ[n, h, q]], alpha=level) for q, level in enumerate(LEVELS)]
            assert ours[n, h] == pytest.approx(np.mean(slow))

    def test_at_the_median_alone_pinball_is_the_absolute_error(self):
        ours = metrics.pinball(self.truth_NH, self.forecast_NHQ[..., 1:2], (0.5,))
        np.testing.assert_allclose(ours, np.abs(self.truth_NH - self.forecast_NHQ[..., 1]))

    def test_scores_agree_with_their_slow_twins(self):
        truth_NH, point_NH, scale_N = self.truth_NH, self.forecast_NHQ[..., 1], self.scale_N
        loss_NH = metrics.pinball(truth_NH, self.forecast_NHQ, LEVELS)
        slow = {
            "sql": np.mean([loss_NH[n, h] / scale_N[n] for n, h in self.cells]),
            "wql": sum(loss_NH[n, h] for n, h in self.cells) / sum(abs(truth_NH[n, h]) for n, h in self.cells),
            "mase": np.mean([abs(truth_NH[n, h] - point_NH[n, h]) / scale_N[n] for n, h in self.cells]),
            "smape": 200 * np.mean([abs(truth_NH[n, h] - point_NH[n, h]) / (abs(truth_NH[n, h]) + abs(point_NH[n, h])) for n, h in self.cells]),
            "rmse": math.sqrt(np.mean([(truth_NH[n, h] - point_NH[n, h]) ** 2 for n, h in self.cells])),
        }
        for name, value in slow.items():
            assert getattr(metrics, name)(truth_NH, self.forecast_NHQ, scale_N, LEVELS) == pytest.approx(value), name

    def test_probability_scores_are_those_of_scikit_learn(self):
        up_NH, truth_NH = self.rng.uniform(0.05, 0.95, (8, 3)), (self.truth_NH > 5).astype(float)
        forecast_NHQ = np.stack([1 - up_NH, up_NH], axis=-1)
        assert metrics.log_loss(truth_NH, forecast_NHQ, self.scale_N, LEVELS) == pytest.approx(sklearn_log_loss(truth_NH.ravel(), up_NH.ravel()))
        assert metrics.brier(truth_NH, forecast_NHQ, self.scale_N, LEVELS) == pytest.approx(brier_score_loss(truth_NH.ravel(), up_NH.ravel()))
        assert metrics.cell_loss(truth_NH, forecast_NHQ, self.scale_N, LEVELS, "direction").shape == (8, 3)

    @pytest.mark.parametrize("name", ["sql", "wql", "mase", "smape", "rmse", "log_loss", "brier"])
    def test_missing_truth_is_not_scored(self, name):
        probabilities = name in {"log_loss", "brier"}
        truth_NH = (self.truth_NH > 5).astype(float) if probabilities else self.truth_NH.copy()
        forecast_NHQ = normalise(np.abs(self.forecast_NHQ[..., :2])) if probabilities else self.forecast_NHQ
        hidden_NH = truth_NH.copy()
        hidden_NH[5:] = np.nan
        metric = getattr(metrics, name)
        whole = metric(truth_NH[:5], forecast_NHQ[:5], self.scale_N[:5], LEVELS)
        assert metric(hidden_NH, forecast_NHQ, self.scale_N, LEVELS) == pytest.approx(whole)

    def test_coverage_counts_the_truth_between_the_outermost_levels(self):
        truth_NH = np.array([[1.0, 5.0, np.nan, 2.0]])
        forecast_NHQ = np.broadcast_to(np.array([1.0, 2.0, 3.0]), (1, 4, 3))
        assert metrics.coverage(truth_NH, forecast_NHQ) == pytest.approx(2 / 3)
        assert metrics.cell_loss(truth_NH, forecast_NHQ, np.array([2.0]), LEVELS, "quantiles")[0, 1] == pytest.approx(
            np.mean([2 * level * (5 - q) for level, q in zip(LEVELS, (1, 2, 3), strict=True)]) / 2
        )


class TestForecasts:
    def test_the_mean_is_the_integral_of_the_quantile_function(self):
        quantiles_Q = np.array([-1.0, 0.5, 4.0])
        grid = (np.arange(200_000) + 0.5) / 200_000
        slow = np.interp(grid, LEVELS, quantiles_Q).mean()
        assert quantile_mean(quantiles_Q[None, None], LEVELS)[0, 0] == pytest.approx(slow, abs=1e-6)
        assert quantile_mean(np.full((1, 1, 9), 7.0), DECILES)[0, 0] == pytest.approx(7)

    def test_residuals_pool_neighbouring_steps_until_there_are_enough(self):
        rng = np.random.default_rng(6)
        residual_NH = rng.normal(size=(20, 5)) * np.arange(1, 6)
        residual_NH[rng.random((20, 5)) < 0.2] = np.nan
        table_HQ = residual_quantiles(residual_NH, LEVELS, at_least=30)
        for h in range(5):
            reach = next(r for r in range(6) if np.isfinite(residual_NH[:, max(0, h - r) : h + r + 1]).sum() >= 30 or r == 5)
            pool = residual_NH[:, max(0, h - reach) : h + reach + 1]
            np.testing.assert_allclose(table_HQ[h], np.quantile(pool[np.isfinite(pool)], LEVELS))
        assert not residual_quantiles(np.full((4, 2), np.nan), LEVELS).any()

    def test_tidy_sorts_quantiles_but_never_classes(self):
        crossed = np.array([[[3.0, 1.0, 2.0]], [[np.nan] * 3]])
        np.testing.assert_array_equal(tidy(crossed, Task(horizon=1, quantiles=LEVELS)), [[[1, 2, 3]], [[np.nan] * 3]])
        np.testing.assert_allclose(tidy(np.array([[[0.9, 0.1]]]), Task(horizon=1, kind="direction")), [[[0.9, 0.1]]])
        extreme = tidy(np.array([[[1.0, 0.0]]]), Task(horizon=1, kind="direction"))
        assert 0 < extreme[0, 0, 1] < 1e-3
        assert extreme.sum() == pytest.approx(1)

    def test_the_probability_of_up_is_read_off_the_quantiles(self):
        forecast_NHQ = np.array([[[0.0, 1.0, 4.0]]])
        for last, below in [(0.0, 0.1), (0.5, 0.3), (1.0, 0.5), (2.5, 0.65), (4.0, 0.8), (-0.125, 0.05), (5.0, 0.9), (-9, 0), (99, 1)]:
            expected = min(max(1 - below, 1e-4), 1 - 1e-4)
            assert probability_up(forecast_NHQ, np.array([last]), LEVELS)[0, 0] == pytest.approx(expected), last

    @pytest.mark.parametrize(("last", "low", "high"), [(1.0, 0.99, 1), (2.0, 0.2, 0.9), (3.0, 0, 0.01)])
    def test_a_certain_forecast_gives_a_sensible_probability(self, last, low, high):
        assert low <= probability_up(np.full((1, 1, 3), 2.0), np.array([last]), LEVELS)[0, 0] <= high

    def test_the_table_has_a_row_for_every_step_ahead(self):
        panel = Panel.of([np.arange(4.0), np.arange(3.0)], ids=["a", "b"])
        table = frame(panel, Origins(np.array([1, 0, 0]), np.array([2, 3, 1])), {"mean": np.arange(6.0).reshape(3, 2)}, with_origin=True)
        assert table["unique_id"].tolist() == ["b", "b", "a", "a", "a", "a"]
        assert table["ds"].dt.day.tolist() == [4, 5, 5, 6, 3, 4]
        assert table["origin"].dt.day.tolist() == [3, 3, 4, 4, 2, 2]
        assert table["mean"].tolist() == [0, 1, 2, 3, 4, 5]


def random_studies():
    """Panels of all shapes: lengths, horizons, seasons and shares of locked rows drawn at random."""
    rng = np.random.default_rng(7)
    for case in range(60):
        n_series = int(rng.choice([1, 2, 5, 19, 20, 60]))
        lengths = rng.integers(30, 300 if n_series < 20 else 90, n_series)
        if n_series > 1:
            lengths[0] = rng.integers(1, 12)
        task = Task(horizon=int(rng.integers(1, 9)), season_length=int(rng.choice([1, 4, 7])), seed=case)
        yield pytest.param(lengths, task, float(rng.choice([0, 0.1, 0.2])), bool(rng.random() < 0.5), id=f"{case}")


def study(lengths, end_together):
    """A panel with these lengths; all series end at one stamp, or all start at one."""
    panel = Panel.of([np.ones(length) for length in lengths])
    if end_together:
        starts = np.datetime64("2020-01-01", "s") - np.asarray(lengths) * np.timedelta64(1, "D")
        panel = replace(panel, start_S=starts)
    return panel


def pairs(origins):
    return set(zip(origins.series.tolist(), origins.step.tolist(), strict=True))


class TestWindows:
    @pytest.mark.parametrize(("lengths", "task", "test", "end_together"), [*random_studies()])
    def test_no_role_sees_a_label_of_a_later_one(self, lengths, task, test, end_together):
        """By brute force: labels of fit and stop lie at or before the cutoff, scored ones after it, judged ones last."""
        panel = study(lengths, end_together)
        plan = windows.plan(panel, task, test)
        assert len(plan.scored)
        assert len(plan.window_N) == len(plan.scored)
        for fold in plan.folds:
            roles = windows.roles_until(panel, task, fold.cutoff_S, min_context=4)
            fitted, stopped = pairs(roles.fit), pairs(roles.stop) if roles.stop else set()
            scored = pairs(fold.score)
            assert fitted
            assert scored
            assert not fitted & stopped
            for i, step in fitted | stopped:
                assert step >= 0
                assert step + task.horizon <= fold.cutoff_S[i] < panel.lengths_S[i]
            for i, step in scored:
                assert fold.cutoff_S[i] <= step <= fold.until_S[i]
                assert step + task.horizon <= panel.ends_S[i], "a scored origin has all its labels"
                assert step + task.horizon <= plan.judged_S[i], "scoring needs no label of the locked rows"
            if roles.stop and panel.n_series < windows.MANY_SERIES:
                for i in {series for series, _ in stopped}:
                    last_fit = max((step for series, step in fitted if series == i), default=-task.horizon - 1)
                    assert last_fit + task.horizon <= min(step for series, step in stopped if series == i), (
                        "fit labels end before the stop origins' labels"
                    )
        for i, step in pairs(plan.test):
            assert plan.judged_S[i] <= step
            assert step + task.horizon <= panel.ends_S[i]
        assert bool(len(plan.test)) == bool(test)
        assert len(pairs(plan.scored)) == len(plan.scored), "no origin is scored twice"

    @pytest.mark.parametrize(("lengths", "task", "test", "end_together"), [*random_studies()])
    def test_windows_follow_each_other(self, lengths, task, test, end_together):
        panel = study(lengths, end_together)
        folds = windows.plan(panel, task, test).folds
        assert [fold.window for fold in folds] == list(range(len(folds)))
        for earlier, later in pairwise(folds):
            both = (earlier.cutoff_S >= 0) & (later.cutoff_S >= 0)
            assert (earlier.until_S + task.horizon <= later.cutoff_S)[both].all(), "labels of one window are known to the next"

    def test_the_plan_looks_at_no_value(self):
        lengths, task = [200, 150], Task(horizon=5, season_length=7)
        one, other = study(lengths, True), replace(study(lengths, True), y=np.random.default_rng(0).normal(size=350))
        for left, right in zip(windows.plan(one, task, 0.2).folds, windows.plan(other, task, 0.2).folds, strict=True):
            assert left.score.step.tolist() == right.score.step.tolist()

    def test_a_panel_holds_out_series_for_stopping(self):
        panel = study([40] * 60, True)
        roles = windows.roles_until(panel, Task(horizon=3), panel.ends_S, min_context=4)
        assert not set(roles.fit.series) & set(roles.stop.series)
        assert len(set(roles.stop.series)) == 9

    def test_a_refit_keeps_every_labelled_origin(self):
        panel = study([50, 9], True)
        roles = windows.roles_until(panel, Task(horizon=3), panel.ends_S, min_context=4, with_stop=False)
        assert roles.stop is None
        assert pairs(roles.fit) == {(0, step) for step in range(3, 47)} | {(1, step) for step in range(3, 6)}

    def test_series_that_ended_early_are_not_scored(self):
        panel = study([80, 80, 80], False)
        ended = replace(panel, lengths_S=np.array([80, 80, 40]))
        plan = windows.plan(ended, Task(horizon=4), 0.1)
        assert plan.aligned == "calendar"
        assert 2 not in plan.scored.series
        assert 2 not in plan.test.series

    def test_series_that_all_end_apart_are_cut_from_their_ends(self):
        plan = windows.plan(study([60, 70, 80, 90], False), Task(horizon=4))
        assert plan.aligned == "end"
        assert set(plan.scored.series) == {0, 1, 2, 3}

    def test_too_little_history_is_refused_with_the_length_that_would_do(self):
        with pytest.raises(BadInput, match="8 steps; horizon 6 with season 7 needs about 22"):
            windows.plan(study([8], True), Task(horizon=6, season_length=7))
        assert len(windows.plan(study([22], True), Task(horizon=6, season_length=7)).scored)

    def test_roles_that_share_an_origin_are_refused(self):
        origins = Origins(np.array([0, 0]), np.array([3, 4]))
        with pytest.raises(AssertionError, match="share 1 origins"):
            windows.Roles(origins, Origins(np.array([0]), np.array([4])))


def test_one_thread_is_all_that_numerical_libraries_get_and_only_within():
    def counts():
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]

    before = counts()
    assert set(one_thread(counts)()) == {1}
    assert counts() == before

"""Graphs give what their members forecast: computed by the runtime on one side, by the learners on the other."""

import json

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from commands import typed
from handmade import NEVER, handmade, no_rows
from smoke import smoke

from ensemble_forecast import graphs
from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.frames import to_panel
from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.task import Task
from ensemble_forecast.ensemble.averages import Mean, Median
from ensemble_forecast.ensemble.calibration import Calibration
from ensemble_forecast.ensemble.graph import FORECASTS, of_combiner
from ensemble_forecast.ensemble.per_quantile import PerQuantile
from ensemble_forecast.ensemble.simplex import Simplex
from ensemble_forecast.export import TOLERANCE, draw, export
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.learners.base import build
from ensemble_forecast.registry import NETS
from ensemble_forecast.windows import roles_until

KINDS = ("quantiles", "direction")
TREES = {"xgboost": {}, "random_forest": {}, "extra_trees": {"base": "last"}}


def frame(n=90):
    """Two series with a past covariate and one known ahead; the first rows of the past one are missing."""
    rng, parts = np.random.default_rng(3), []
    for name, size in (("a", n), ("b", n - 7)):
        step = np.arange(size)
        y = 20 + 5 * np.sin(2 * np.pi * step / 7) + 0.05 * step + rng.normal(size=size)
        seen = rng.normal(size=size)
        seen[:4] = np.nan
        parts.append(pd.DataFrame({"unique_id": name, "ds": pd.date_range("2024-01-01", periods=size), "y": y, "seen": seen, "plan": step % 3}))
    return pd.concat(parts, ignore_index=True)


def task_of(kind):
    return Task(horizon=3, season_length=7, quantiles=(0.1, 0.25, 0.5, 0.9), kind=kind)


@pytest.fixture(scope="module")
def panel():
    return to_panel(frame(), Columns(known=("plan",)))


def fitted(learner, panel, task):
    train = panel.cut(panel.ends_S)
    return learner.fit(train, roles_until(train, task, train.ends_S, min_context=4), task, NEVER)


def apart(member, panel, task):
    """Largest difference over all origins that the member serves, short histories among them, in units of the scale."""
    origins = Origins.between(np.full(panel.n_series, 2), panel.ends_S)
    ours = member.predict(panel, origins, NEVER)
    served = np.isfinite(ours).all(axis=(1, 2))
    assert served.sum() > 100
    drawn = draw(member)
    onnx.checker.check_model(drawn.model)
    feed = drawn.feed(panel, origins.take(served))
    assert set(feed) == set(drawn.inputs) == {value.name for value in drawn.model.graph.input}
    unit = scale_at(panel, origins, task.season_length)[served] if task.kind == "quantiles" else np.ones(served.sum())
    return (np.abs(graphs.run(drawn.model, feed) - ours[served]) / unit[:, None, None]).max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TREES)
def test_trees_fall_as_they_do_here(name, kind, panel):
    task = task_of(kind)
    assert apart(fitted(smoke(name, **TREES[name]), panel, task), panel, task) < 1e-5


def test_boosted_quantiles_are_interpolated_as_they_are_here(panel):
    task = task_of("quantiles")
    assert apart(fitted(smoke("xgboost", objective="quantile"), panel, task), panel, task) < 1e-5


@pytest.mark.parametrize("name", TREES)
def test_classes_that_weighed_the_same_are_put_back_to_the_rates_that_were_met(name, panel):
    task = task_of("direction")
    assert apart(fitted(smoke(name, **TREES[name], balanced=True), panel, task), panel, task) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_ridge_is_one_matrix(kind, panel):
    task = task_of(kind)
    assert apart(fitted(smoke("ridge"), panel, task), panel, task) < 1e-9


@pytest.mark.parametrize("transform", ["log", "asinh"])
def test_transforms_are_undone_in_the_graph(transform, panel):
    task = task_of("quantiles")
    member = smoke("transformed", transform=transform, member={"family": "xgboost", "params": {"rounds": 5}})
    assert apart(fitted(member, panel, task), panel, task) < 1e-5


def test_a_bag_is_the_mean_of_its_copies(panel):
    task = task_of("quantiles")
    member = fitted(smoke("bagged", copies=3), panel, task)
    assert apart(member, panel, task) < 1e-9
    assert {name.split("_")[1] for name in draw(member).inputs} == {"0", "1", "2"}


@pytest.mark.parametrize(
    ("name", "changed", "kind"), [("gru", {"loss": "gaussian"}, "quantiles"), ("mlp", {"base": "last"}, "quantiles"), ("mlp", {}, "direction")]
)
def test_a_net_reads_windows_in_the_targets_own_unit(name, changed, kind, panel):
    task = task_of(kind)
    assert apart(fitted(smoke(name, **changed), panel, task), panel, task) < TOLERANCE


@pytest.mark.soak
@pytest.mark.parametrize("name", NETS)
def test_every_net_has_a_graph(name, panel):
    task = task_of("quantiles")
    assert apart(fitted(smoke(name), panel, task), panel, task) < TOLERANCE


@pytest.mark.parametrize(("family", "changed", "words"), [("mlp", {"loss": "student_t", "steps": 2}, "Student"), ("theta", {}, "theta has no graph")])
def test_what_has_no_graph_says_why(family, changed, words, panel):
    member = fitted(smoke(family, **changed), panel, task_of("quantiles"))
    with pytest.raises(graphs.Undrawable, match=words):
        draw(member)


def forecasts(task, n=40, members=3):
    rng = np.random.default_rng(5)
    values = rng.normal(size=(n, 3, task.n_outputs, members)).cumsum(axis=0)
    if task.kind == "direction":
        up = 1 / (1 + np.exp(-values[:, :, :1]))
        values = np.concatenate([1 - up, up], axis=2)
    values = np.sort(values, axis=2) if task.kind == "quantiles" else values
    return values, (values.mean(axis=(2, 3)) > 0.5).astype(float) if task.kind == "direction" else values.mean(axis=(2, 3)) + rng.normal(size=(n, 3))


CURVES = [("as_is", np.empty(0)), ("platt", np.array([0.7, 0.1])), ("beta", np.array([0.7, 1.2, 0.1]))]


@pytest.mark.parametrize(("kind", "curve"), [("quantiles", None), *(("direction", curve) for curve in CURVES)])
@pytest.mark.parametrize("combiner", [Mean(), Simplex(shrink=0.1), PerQuantile()], ids=lambda combiner: combiner.family)
def test_weights_missing_members_and_calibration_are_in_the_graph(combiner, kind, curve):
    task = task_of(kind)
    values_NHQM, truth_NH = forecasts(task)
    rows = no_rows().__class__(np.zeros(40, int), np.repeat([0, 1], 20), np.arange(40), np.ones(40))
    combiner.fit(values_NHQM, truth_NH, rows, task, NEVER)
    calibration = Calibration().fit(combiner.combine(values_NHQM, rows), truth_NH, rows, task)
    if kind == "direction":
        calibration.curve_, calibration.numbers_ = curve
    values_NHQM[::4, ..., 1] = np.nan
    values_NHQM[3] = np.nan
    ours = calibration.apply(combiner.combine(values_NHQM, rows))
    theirs = graphs.run(of_combiner(combiner, calibration, task), {FORECASTS: values_NHQM})
    assert np.isnan(ours[3]).all()
    np.testing.assert_array_equal(np.isnan(theirs[3]), True)
    kept = np.arange(40) != 3
    np.testing.assert_allclose(theirs[kept], ours[kept], rtol=1e-9, atol=1e-9)


def test_a_curve_of_steps_is_not_drawn():
    task = task_of("direction")
    values_NHQM, truth_NH = forecasts(task)
    calibration = Calibration()
    calibration.curve_ = "isotonic"
    with pytest.raises(graphs.Undrawable, match="isotonic"):
        of_combiner(Mean().fit(values_NHQM, truth_NH, no_rows(), task, NEVER), calibration, task)


def test_a_median_is_no_weighted_average():
    task = task_of("quantiles")
    values_NHQM, truth_NH = forecasts(task)
    with pytest.raises(graphs.Undrawable, match="no weighted average"):
        of_combiner(Median().fit(values_NHQM, truth_NH, no_rows(), task, NEVER), Calibration(), task)


@pytest.fixture
def toy(tmp_path):
    def members(panel, task):
        ask = [("ridge", {}), ("xgboost", {"rounds": 5}), ("theta", {})]
        return {f"{family}-0001": fitted(build({"family": family, "params": params}), panel, task) for family, params in ask}

    table = frame().loc[lambda rows: rows["unique_id"] == "a", ["ds", "y"]]
    table.to_csv(tmp_path / "toy.csv", index=False)
    return handmade(tmp_path / "runs", table, members=members, source=str(tmp_path / "toy.csv"))


def test_an_export_holds_graphs_examples_and_what_was_left_out(toy, tmp_path, capsys):
    assert typed("export", "--runs", tmp_path / "runs", "--json") == 0
    told, folder = json.loads(capsys.readouterr().out), tmp_path / "runs/toy/onnx"
    assert told == json.loads((folder / "export.json").read_text())
    assert [row["name"] for row in told["left_out"]] == ["theta-0001"]
    assert {path.name for path in folder.iterdir()} == {
        "export.json", "combiner.onnx", "ridge-0001.onnx", "ridge-0001.npz", "xgboost-0001.onnx", "xgboost-0001.npz"
    }  # fmt: skip
    for row in told["graphs"][:2]:
        with np.load(folder / row["file"].replace(".onnx", ".npz")) as example:
            assert set(row["inputs"]) == set(example) - {"forecast"}
            session = onnxruntime.InferenceSession(folder / row["file"])
            (forecast,) = session.run(None, {name: example[name] for name in row["inputs"]})
            np.testing.assert_allclose(forecast, example["forecast"], rtol=1e-6)
            assert all(list(example[name].shape[1:]) == row["inputs"][name]["shape"][1:] for name in row["inputs"])
            assert len(row["inputs"]["x"]["columns"]) == example["x"].shape[-1]


def test_a_graph_that_forecasts_otherwise_is_left_out_and_named(toy, tmp_path, monkeypatch):
    run = graphs.run
    monkeypatch.setattr(graphs, "run", lambda model, feed: run(model, feed) + ("x" in feed) * 0.01)
    told = export(toy, pd.read_csv(tmp_path / "toy.csv"), tmp_path / "out")
    assert [row["name"] for row in told["graphs"]] == ["combiner"]
    assert [row["name"] for row in told["left_out"]] == ["ridge-0001", "xgboost-0001", "theta-0001"]
    assert "differs" in told["left_out"][0]["reason"]
    assert not (tmp_path / "out/ridge-0001.onnx").exists()


def test_an_unknown_format_and_a_missing_extra_are_refused(toy, tmp_path, monkeypatch, capsys):
    assert typed("export", "--runs", tmp_path / "runs", "--format", "pmml") == 2
    monkeypatch.setitem(__import__("sys").modules, "ensemble_forecast.export", None)
    monkeypatch.delattr("ensemble_forecast.export")
    assert typed("export", "--runs", tmp_path / "runs") == 2
    assert 'pip install "ensemble-forecast[export]"' in capsys.readouterr().err

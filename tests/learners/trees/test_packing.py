"""Packed estimators: same bytes for the same estimator, and nothing rebuilt that is not on the list."""

import io
import json
import os
import pathlib
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import skops.io
import toys
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import AdaBoostRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import ElasticNet, LinearRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import FunctionTransformer

import ensemble_forecast as ef
from ensemble_forecast import persist
from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.trees import packing
from ensemble_forecast.learners.trees.adapter import ScikitLearn
from ensemble_forecast.learners.trees.packing import pack, unpack
from ensemble_forecast.windows import roles_until

NEVER = Deadline.never()
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
Y = X[:, 0] + RNG.normal(size=120)
ESTIMATORS = [
    HistGradientBoostingRegressor(max_iter=5),
    AdaBoostRegressor(n_estimators=3, random_state=0),
    RandomForestRegressor(n_estimators=3, random_state=0),
    ElasticNet(),
    KNeighborsRegressor(3),
    MLPRegressor(hidden_layer_sizes=(4,), max_iter=1000, tol=0.1, random_state=0),
]


class Loud(RegressorMixin, BaseEstimator):
    """An estimator that is not scikit-learn's."""

    def fit(self, x, y):  # noqa: ARG002
        self.level_ = float(np.mean(y))
        return self

    def predict(self, x):
        return np.full(len(x), self.level_)


LOUD = f"{Loud.__module__}:Loud"


def rewritten(packed, change):
    """The same archive with its schema changed."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed.tobytes())) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content.decode()) if name == "schema.json" else content)
    return np.frombuffer(made.getvalue(), dtype=np.uint8)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_an_estimator_forecasts_the_same_after_packing(estimator):
    estimator.fit(X, Y)
    (again,) = unpack(pack([estimator]))
    assert np.array_equal(again.predict(X), estimator.predict(X))


def test_the_bytes_tell_neither_the_time_nor_where_an_object_lay():
    first, second = (RandomForestRegressor(n_estimators=3, random_state=0).fit(X, Y) for _ in range(2))
    keep = [np.zeros(size) for size in range(1, 50)]  # moves what comes after it
    assert pack([first]).tobytes() == pack([second]).tobytes()
    assert skops.io.dumps([first]) != skops.io.dumps([second]), "skops alone would tell: then this module could be simpler"
    assert len(keep) == 49


def test_a_function_in_the_bytes_is_refused_and_not_called(tmp_path):
    marker = tmp_path / "ran"
    honest = pack([FunctionTransformer(np.sqrt, kw_args={})])
    hostile = np.frombuffer(skops.io.dumps([FunctionTransformer(os.system, kw_args={"command": f"touch {marker}"})]), dtype=np.uint8)
    assert unpack(honest)[0].func is np.sqrt
    with pytest.raises(BadInput, match=r"posix\.system.*allow="):
        unpack(hostile)
    assert not marker.exists()


def test_a_type_renamed_in_the_schema_is_refused():
    packed = pack([LinearRegression().fit(X, Y)])
    for module, name in (("os", "system"), ("subprocess", "Popen"), ("builtins", "eval"), ("sklearn.linear_model._base", "no_such_class")):
        tampered = rewritten(packed, lambda text, m=module, n=name: text.replace("LinearRegression", n).replace("sklearn.linear_model._base", m))
        with pytest.raises(BadInput, match=name):
            unpack(tampered)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_damaged_bytes_are_refused(content):
    with pytest.raises(BadInput, match="make the artefact again"):
        unpack(np.frombuffer(content, dtype=np.uint8))


def test_truncated_bytes_and_a_bare_object_are_refused():
    packed = pack([LinearRegression().fit(X, Y)])
    with pytest.raises(BadInput, match="damaged"):
        unpack(packed[: len(packed) // 2])
    with pytest.raises(BadInput, match="list"):
        unpack(np.frombuffer(skops.io.dumps({"a": 1}), dtype=np.uint8))
    with pytest.raises(BadInput, match="damaged"):
        unpack(rewritten(packed, lambda text: json.dumps({"content": text})))


def member_of(estimator):
    panel, task = toys.seasonal_panel(length=60), Task(horizon=2)
    learner = ScikitLearn(rows=300)
    roles = roles_until(panel, task, panel.ends_S, 10)
    learner.fit(panel, roles, task, NEVER)
    learner.packed_ = pack([estimator])
    return panel, learner


def test_loading_an_artefact_refuses_a_hostile_estimator_before_anything_of_it_exists(tmp_path):
    marker = tmp_path / "ran"
    _, learner = member_of(FunctionTransformer(os.system, kw_args={"command": f"touch {marker}"}))
    persist.save(tmp_path / "art", {"member": learner}, {})  # with a fitting manifest: whoever can write the folder can write that too
    with pytest.raises(BadInput, match=r"posix\.system"):
        persist.load(tmp_path / "art")
    assert not marker.exists()


def test_an_estimator_of_ones_own_loads_when_it_is_allowed(tmp_path):
    panel, learner = member_of(Loud().fit(X, Y))
    persist.save(tmp_path / "art", {"member": learner}, {})
    with pytest.raises(BadInput, match=r"Loud.*allow="):
        persist.load(tmp_path / "art")
    loaded = persist.load(tmp_path / "art", allow=(LOUD,))[0]["member"]
    assert np.isfinite(loaded.predict(panel, Origins.ends(panel), NEVER)).all()


def test_a_forecast_needs_no_live_estimator():
    panel, learner = member_of(LinearRegression().fit(np.zeros((9, 1)), np.zeros(9)))
    fresh = replace(learner).fit(panel, roles_until(panel, Task(horizon=2), panel.ends_S, 10), Task(horizon=2), NEVER)
    before = fresh.predict(panel, Origins.ends(panel), NEVER)
    fresh._estimators = None
    assert np.array_equal(fresh.predict(panel, Origins.ends(panel), NEVER), before)


def test_only_one_module_knows_skops():
    package = pathlib.Path(ef.__file__).parent
    assert [path.name for path in package.rglob("*.py") if "skops.io" in path.read_text()] == [pathlib.Path(packing.__file__).name]


def unfolding(compress):
    """An archive with a schema of 1 MiB."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compress) as archive:
        archive.writestr("schema.json", "[" * (1 << 20))
    return np.frombuffer(made.getvalue(), dtype=np.uint8)


def overlapping():
    """An archive whose directory lists one entry a hundred times."""
    entry = zipfile.ZipInfo("schema.json")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(entry, "x" * 1000)
        archive.filelist.extend([entry] * 99)
    return np.frombuffer(made.getvalue(), dtype=np.uint8)


def boastful():
    """A packed estimator whose first array claims 8 TB."""
    made = io.BytesIO()
    packed = pack([ElasticNet().fit(X, Y)])
    with zipfile.ZipFile(io.BytesIO(packed.tobytes())) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content.replace(b"(4,), }            ", b"(1000000000000,), }", 1))
    assert made.getvalue() != packed.tobytes()
    return np.frombuffer(made.getvalue(), dtype=np.uint8)


@pytest.mark.parametrize(
    ("bomb", "message"),
    [(unfolding(zipfile.ZIP_DEFLATED), "unfolds"), (overlapping(), "unfolds"), (boastful(), "is said to have the shape")],
    ids=["compressed", "overlapping", "boastful"],
)
def test_an_archive_that_would_grow_is_refused_before_it_does(bomb, message, monkeypatch):
    monkeypatch.setattr(skops.io, "loads", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(BadInput, match=message):
        unpack(bomb)

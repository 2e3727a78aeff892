"""Any scikit-learn regressor or classifier as a forecaster, named by its import string."""

import importlib
import json
import math
import time
import warnings
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.trees.corrector import Corrector
from ensemble_forecast.learners.trees.preparation import Preparation
from ensemble_forecast.learners.trees.rows import Rows
from ensemble_forecast.seeds import derive

FIRST_SHARE = 0.1  # of the rows, on which a first estimator shows how long the whole will take
GROWTH = 1.5  # cost grows at most about so: rows ** 1.5, between trees and kernels
NESTED = {"estimator", "params"}


@dataclass(kw_only=True)
class ScikitLearn(Corrector):
    """A scikit-learn estimator of the user's choice on the tabular rows that trees read.

    A regressor forecasts the scaled correction; for kind ``direction`` a classifier gives its `predict_proba`, and a regressor of the label is
    read as a linear probability model. Where the estimator takes no missing values, features are filled, standardised and clipped first.

    Parameters
    ----------
    estimator
        Import string, such as ``"sklearn.neighbors:KNeighborsRegressor"``; it is imported by `fit` and by nothing else.
    params
        Its parameters as JSON-able data. A value ``{"estimator": import string, "params": {...}}`` is an estimator itself: so are the steps of a
        pipeline written. A missing `random_state` is drawn from the task's seed.
    """

    family: ClassVar[str] = "scikit_learn"
    kinds: ClassVar[tuple[str, ...]] = ("quantiles", "direction")  # three classes need a classifier, and what this is, fit alone finds out
    SMOKE: ClassVar[dict[str, Any]] = {"params": {"n_neighbors": 5}, "rows": 1000}

    estimator: str = "sklearn.neighbors:KNeighborsRegressor"
    params: dict[str, Any] = field(default_factory=dict)
    rows: int = 20_000

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            self.params = json.loads(json.dumps(self.params, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise BadInput(f"params must be JSON-able data (numbers, text, lists, tables); got {self.params!r} ({error})") from error
        if not isinstance(self.params, dict) or self.estimator.count(":") != 1:
            raise BadInput(f"estimator must be an import string such as 'package.module:Class' and params a table; got {self.estimator!r}")

    def _train(self, rows: Rows, stop: Rows | None, task: Task, deadline: Deadline) -> Any:  # noqa: ARG002
        """Fit on all rows where there is time for it, as a first fit on a tenth of them tells."""
        model = _construct(self.estimator, self.params)
        self._check(model, task)
        _seed(model, derive(task.seed, self.family))
        if not get_tags(model).input_tags.allow_nan:
            model = Pipeline([("preparation", Preparation()), ("estimator", model)])
        if math.isinf(deadline.left()):
            return _fitted(model, rows)
        started = time.monotonic()
        few = _thinned(rows, FIRST_SHARE)
        first = _fitted(clone(model), few)
        expected_s = (time.monotonic() - started) * (len(rows.target_R) / len(few.target_R)) ** GROWTH
        if expected_s > deadline.left():
            self.truncated_ = True
            return first
        return _fitted(model, rows)

    def _check(self, model: Any, task: Task) -> None:
        """Refuse an estimator that cannot answer what is asked."""
        if self.balanced and task.kind == "direction" and not has_fit_parameter(model, "sample_weight"):
            raise BadInput(f"balanced needs an estimator whose fit takes sample_weight, and {self.estimator} does not; leave balanced out")
        if is_regressor(model):
            return
        if task.kind == "quantiles":
            raise BadInput(f"{self.estimator} is no regressor, and serves kind direction only; name a regressor for quantiles")
        if not (is_classifier(model) and hasattr(model, "predict_proba")):
            raise BadInput(f"{self.estimator} gives no class probabilities; wrap it in sklearn.calibration:CalibratedClassifierCV, or name another")


def _construct(path: str, params: dict[str, Any]) -> Any:
    """Import and construct an estimator."""
    module, _, name = path.partition(":")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInput(f"estimator {path!r} cannot be imported ({error}); it is written 'package.module:Class'") from error
    if not (isinstance(cls, type) and issubclass(cls, BaseEstimator)):
        raise BadInput(f"{path!r} is no scikit-learn estimator: it must be a class derived from sklearn.base.BaseEstimator")
    try:
        return cls(**{key: _value(value) for key, value in params.items()})
    except TypeError as error:
        raise BadInput(f"{path} does not take the params {sorted(params)} ({error}); it has {sorted(_names(cls))}") from error


def _value(value: Any) -> Any:
    """Turn tables that describe an estimator into one."""
    if isinstance(value, dict) and set(value) == NESTED:
        return _construct(value["estimator"], value["params"])
    if isinstance(value, dict):
        return {key: _value(item) for key, item in value.items()}
    return [_value(item) for item in value] if isinstance(value, list) else value


def _names(cls: type) -> list[str]:
    """Parameters of an estimator's class."""
    return list(cls._get_param_names())  # type: ignore[attr-defined]


def _seed(model: Any, seed: int) -> None:
    """Give every part that draws at random, and was given no seed, the same one."""
    for name, value in model.get_params().items():
        if name.split("__")[-1] == "random_state" and value is None:
            model.set_params(**{name: seed})


def _thinned(rows: Rows, share: float) -> Rows:
    """Keep a share of the rows, evenly spaced, at least fifty of them."""
    kept_R = np.unique(np.linspace(0, len(rows.target_R) - 1, max(round(share * len(rows.target_R)), 50)).astype(np.int64))
    return replace(rows, x_RF=rows.x_RF[kept_R], target_R=rows.target_R[kept_R], weight_R=rows.weight_R[kept_R], ahead_R=rows.ahead_R[kept_R])


def _fitted(model: Any, rows: Rows) -> Any:
    """Fit, weighing rows where the estimator can; how long an optimiser runs is a parameter, so its warning says nothing new."""
    is_prepared = isinstance(model, Pipeline) and isinstance(model.steps[0][1], Preparation)
    last, prefix = (model.steps[-1][1], "estimator__") if is_prepared else (model, "")
    weights = {f"{prefix}sample_weight": rows.weight_R} if has_fit_parameter(last, "sample_weight") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(rows.x_RF, rows.target_R, **weights)

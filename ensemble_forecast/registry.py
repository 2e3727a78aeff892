"""All the system can do, on one page: names mapped to import strings, so that nothing heavy loads before it is needed.

To add a net, learner, combiner, feature set or source: one new file, one line here.
"""

import difflib
import importlib
from typing import Any

from ensemble_forecast.errors import BadInput

NETS = {
    "mlp": "ensemble_forecast.learners.deep.mlp:Mlp",
    "lstm": "ensemble_forecast.learners.deep.lstm:Lstm",
}
LEARNERS = {
    "naive": "ensemble_forecast.learners.statistical.naive:Naive",
    "seasonal_naive": "ensemble_forecast.learners.statistical.naive:SeasonalNaive",
    "drift": "ensemble_forecast.learners.statistical.drift:Drift",
    "theta": "ensemble_forecast.learners.statistical.theta:Theta",
    "ets": "ensemble_forecast.learners.statistical.ets:Ets",
    "ridge": "ensemble_forecast.learners.linear.ridge:Ridge",
    "xgboost": "ensemble_forecast.learners.trees.boosting:Xgboost",
    "random_forest": "ensemble_forecast.learners.trees.forests:RandomForest",
    "extra_trees": "ensemble_forecast.learners.trees.forests:ExtraTrees",
}
WRAPPERS = {
    "transformed": "ensemble_forecast.learners.transformed:Transformed",
    "bagged": "ensemble_forecast.learners.bagged:Bagged",
    "boosted": "ensemble_forecast.learners.boosted:Boosted",
}
COMBINERS = {
    "mean": "ensemble_forecast.ensemble.averages:Mean",
    "median": "ensemble_forecast.ensemble.averages:Median",
    "trimmed_mean": "ensemble_forecast.ensemble.averages:TrimmedMean",
    "inverse_loss": "ensemble_forecast.ensemble.inverse_loss:InverseLoss",
    "greedy": "ensemble_forecast.ensemble.selection:GreedySelection",
    "simplex": "ensemble_forecast.ensemble.simplex:Simplex",
    "best_single": "ensemble_forecast.ensemble.selection:BestSingle",
}
CALIBRATIONS = {
    "conformal": "ensemble_forecast.ensemble.calibration:Calibration",
}
FEATURES = {
    "candles": "ensemble_forecast.features.candles:candle_covariates",
}
SOURCES = {
    "btc_usd_daily": "ensemble_forecast.data.samples:btc_usd_daily",
}
METRICS = {
    "sql": "ensemble_forecast.metrics:sql",
    "wql": "ensemble_forecast.metrics:wql",
    "mase": "ensemble_forecast.metrics:mase",
    "smape": "ensemble_forecast.metrics:smape",
    "rmse": "ensemble_forecast.metrics:rmse",
    "log_loss": "ensemble_forecast.metrics:log_loss",
    "brier": "ensemble_forecast.metrics:brier",
}
TABLES = {
    "nets": NETS,
    "learners": LEARNERS,
    "wrappers": WRAPPERS,
    "combiners": COMBINERS,
    "calibrations": CALIBRATIONS,
    "features": FEATURES,
    "sources": SOURCES,
    "metrics": METRICS,
}


def did_you_mean(name: str, known: list[str]) -> str:
    """Phrase the nearest known name as a question, or list what there is."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}"


def find(name: str, *tables: str) -> Any:
    """Import what a name stands for.

    Parameters
    ----------
    name
        A registered name, such as ``"ridge"``.
    tables
        Keys of ``TABLES`` to look in.

    Raises
    ------
    BadInput
        When no table holds the name; the message offers the nearest one.
    """
    known = {key: path for table in tables for key, path in TABLES[table].items()}
    if name not in known:
        raise BadInput(f"unknown name {name!r} in {' and '.join(tables)}; {did_you_mean(name, list(known))}")
    module, attribute = known[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def is_cheap(family: str) -> bool:
    """Whether a family's trials take seconds rather than minutes: the linear and statistical learners, told by their folder."""
    return LEARNERS.get(family, "").startswith(("ensemble_forecast.learners.linear", "ensemble_forecast.learners.statistical"))


def families() -> list[str]:
    """Name every family a search may try: learners and nets."""
    return [*LEARNERS, *NETS]

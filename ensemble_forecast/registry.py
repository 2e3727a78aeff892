"""All the system can do, on one page: names mapped to import strings, so that nothing heavy loads before it is needed.

To add a net, learner, combiner, feature set or source: one new file, one line here.
"""

import difflib
import importlib
from typing import Any

from ensemble_forecast.errors import BadInput, MissingPackage

NETS = {
    "mlp": "ensemble_forecast.learners.deep.mlp:Mlp",
    "resnet": "ensemble_forecast.learners.deep.resnet:ResNet",
    "densenet": "ensemble_forecast.learners.deep.densenet:DenseNet",
    "highway": "ensemble_forecast.learners.deep.highway:Highway",
    "fractal": "ensemble_forecast.learners.deep.fractal:FractalNet",
    "moe": "ensemble_forecast.learners.deep.moe:Moe",
    "cnn": "ensemble_forecast.learners.deep.cnn:Cnn",
    "tcn": "ensemble_forecast.learners.deep.tcn:Tcn",
    "rnn": "ensemble_forecast.learners.deep.rnn:Rnn",
    "lstm": "ensemble_forecast.learners.deep.lstm:Lstm",
    "gru": "ensemble_forecast.learners.deep.gru:Gru",
    "transformer": "ensemble_forecast.learners.deep.transformer:Transformer",
    "patch_transformer": "ensemble_forecast.learners.deep.patch_transformer:PatchTransformer",
    "tsmixer": "ensemble_forecast.learners.deep.tsmixer:TsMixer",
    "dlinear": "ensemble_forecast.learners.deep.dlinear:DLinear",
    "nhits": "ensemble_forecast.learners.deep.nhits:NHits",
    "nbeats": "ensemble_forecast.learners.deep.nbeats:NBeats",
    "autoencoder": "ensemble_forecast.learners.deep.autoencoder:Autoencoder",
    "tabm": "ensemble_forecast.learners.deep.tabm:TabM",
    "deep": "ensemble_forecast.learners.deep.deep:Deep",
}
LEARNERS = {
    "naive": "ensemble_forecast.learners.statistical.naive:Naive",
    "seasonal_naive": "ensemble_forecast.learners.statistical.naive:SeasonalNaive",
    "drift": "ensemble_forecast.learners.statistical.drift:Drift",
    "theta": "ensemble_forecast.learners.statistical.theta:Theta",
    "ets": "ensemble_forecast.learners.statistical.ets:Ets",
    "ces": "ensemble_forecast.learners.statistical.ces:Ces",
    "arima": "ensemble_forecast.learners.statistical.arima:Arima",
    "mstl": "ensemble_forecast.learners.statistical.mstl:Mstl",
    "ridge": "ensemble_forecast.learners.linear.ridge:Ridge",
    "xgboost": "ensemble_forecast.learners.trees.direct:Xgboost",
    "recursive_xgboost": "ensemble_forecast.learners.trees.recursive:RecursiveXgboost",
    "random_forest": "ensemble_forecast.learners.trees.forests:RandomForest",
    "extra_trees": "ensemble_forecast.learners.trees.forests:ExtraTrees",
    "hist_gradient_boosting": "ensemble_forecast.learners.trees.histograms:HistGradientBoosting",
    "adaboost": "ensemble_forecast.learners.trees.adaptive:AdaBoost",
    "elastic_net": "ensemble_forecast.learners.trees.elastic:ElasticNet",
    "scikit_learn": "ensemble_forecast.learners.trees.adapter:ScikitLearn",
    "pretrained": "ensemble_forecast.learners.deep.pretrained:Pretrained",
}
WRAPPERS = {
    "transformed": "ensemble_forecast.learners.transformed:Transformed",
    "bagged": "ensemble_forecast.learners.bagged:Bagged",
    "boosted": "ensemble_forecast.learners.boosted:Boosted",
    "encoded": "ensemble_forecast.learners.encoded:Encoded",
    "selected": "ensemble_forecast.learners.selected:Selected",
}
COMBINERS = {  # in the order in which the contest judges them: what is cheap for what it gains comes first
    "mean": "ensemble_forecast.ensemble.averages:Mean",
    "best_single": "ensemble_forecast.ensemble.selection:BestSingle",
    "simplex": "ensemble_forecast.ensemble.simplex:Simplex",
    "inverse_loss": "ensemble_forecast.ensemble.inverse_loss:InverseLoss",
    "linear_stack": "ensemble_forecast.ensemble.linear_stack:LinearStack",
    "trimmed_mean": "ensemble_forecast.ensemble.averages:TrimmedMean",
    "median": "ensemble_forecast.ensemble.averages:Median",
    "majority": "ensemble_forecast.ensemble.majority:Majority",
    "per_series": "ensemble_forecast.ensemble.per_series:PerSeries",
    "greedy": "ensemble_forecast.ensemble.selection:GreedySelection",
    "per_quantile": "ensemble_forecast.ensemble.per_quantile:PerQuantile",
    "featured": "ensemble_forecast.ensemble.featured:Featured",
    "residual_boosting": "ensemble_forecast.ensemble.residual_boosting:ResidualBoosting",
    "layered": "ensemble_forecast.ensemble.layered:Layered",
}
CALIBRATIONS = {
    "conformal": "ensemble_forecast.ensemble.calibration:Calibration",
}
FEATURES = {
    "candles": "ensemble_forecast.features.candles:candle_covariates",
    "price": "ensemble_forecast.features.market.price:price",
    "averages": "ensemble_forecast.features.market.averages:averages",
    "volatility": "ensemble_forecast.features.market.volatility:volatility",
    "channels": "ensemble_forecast.features.market.channels:channels",
    "patterns": "ensemble_forecast.features.market.patterns:patterns",
    "momentum": "ensemble_forecast.features.market.momentum:momentum",
    "trend": "ensemble_forecast.features.market.trend:trend",
    "volume": "ensemble_forecast.features.market.volume:volume",
    "risk": "ensemble_forecast.features.market.risk:risk",
    "moments": "ensemble_forecast.features.market.moments:moments",
    "waves": "ensemble_forecast.features.market.waves:waves",
    "clock": "ensemble_forecast.features.market.clock:clock",
    "interactions": "ensemble_forecast.features.market.interactions:interactions",
    "normalised": "ensemble_forecast.features.market.normalised:normalised",
    "regime": "ensemble_forecast.features.market.regime:regime",
    "entropy": "ensemble_forecast.features.market.entropy:entropy",
    "hurst": "ensemble_forecast.features.market.hurst:hurst",
    "wavelets": "ensemble_forecast.features.market.wavelets:wavelets",
    "garch": "ensemble_forecast.features.market.garch:garch",
}
SOURCES = {
    "btc_usd_daily": "ensemble_forecast.data.samples:btc_usd_daily",
    "ccxt": "ensemble_forecast.data.exchanges:read_candles",
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
GRAPHS = {  # what draws a fitted learner for export; every net is drawn alike
    **dict.fromkeys(NETS, "ensemble_forecast.learners.deep.graph:of_net"),
    "ridge": "ensemble_forecast.learners.linear.graph:of_ridge",
    "xgboost": "ensemble_forecast.learners.trees.graph:of_xgboost",
    "random_forest": "ensemble_forecast.learners.trees.graph:of_forest",
    "extra_trees": "ensemble_forecast.learners.trees.graph:of_forest",
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
    "graphs": GRAPHS,
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
    MissingPackage
        When it needs a package that is not installed.
    """
    known = {key: path for table in tables for key, path in TABLES[table].items()}
    if name not in known:
        raise BadInput(f"unknown name {name!r} in {' and '.join(tables)}; {did_you_mean(name, list(known))}")
    module, attribute = known[name].split(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise MissingPackage(f"{name!r} in {' and '.join(tables)} needs the package {error.name}, which is not installed") from error


def folder_of(family: str) -> str:
    """Tell the folder of a family's learner without importing it: statistical, linear, trees or deep; for a wrapper its own name.

    >>> folder_of("xgboost"), folder_of("mlp"), folder_of("bagged")
    ('trees', 'deep', 'bagged')
    """
    path = (LEARNERS | NETS | WRAPPERS)[family].partition(":")[0]
    return path.split(".")[2]


def is_cheap(family: str) -> bool:
    """Whether a family's trials take seconds rather than minutes: the linear and statistical learners."""
    return family in LEARNERS and folder_of(family) in {"linear", "statistical"}


def families() -> list[str]:
    """Name every family a search may try: learners and nets."""
    return [*LEARNERS, *NETS]

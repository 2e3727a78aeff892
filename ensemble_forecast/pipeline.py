"""What to run: ``pipelines/<study>.toml``, read, checked, and written for data of one's own."""

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ensemble_forecast import atomic
from ensemble_forecast.data.task import DECILES, Task
from ensemble_forecast.deadline import seconds
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import Config
from ensemble_forecast.registry import METRICS, SOURCES, WRAPPERS, did_you_mean, families

PACKAGE = Path(__file__).parent
RUN_FORMAT = 1  # of run folders; raised when an older package would misread them. What is read here must go on reading every lower one
DIRECTION_METRICS = {"log_loss", "brier"}
MAY_CHANGE = {
    "budget",
    "families",
    "space",
    "sampler",
    "pruner",
    "track",
    "trials",
}  # between two calls of one study; anything else makes another study

COMMENTS = {
    "source": "a registered source, such as btc_usd_daily or ccxt:binance:BTC/USDT:1d, or the path of a CSV or parquet file",
    "target": "column to forecast; without it: y, then close, then the only numeric column",
    "freq": "calendar as a pandas offset alias (D, h, W, MS ...); without it: found in the stamps",
    "gaps": "error: refuse missing steps; mask: keep them missing, never scored; fill: carry the last value forward",
    "known": "columns known ahead, such as holidays and prices already set",
    "features": "feature sets to add (python -m ensemble_forecast list features), or your own as package.module:function",
    "horizon": "steps ahead",
    "season": "steps in a season: scales errors and defines the seasonal naive; without it: by the calendar (24 hours, 7 days ...) or the data",
    "kind": "quantiles, or direction: the probability that the target lies above its last value",
    "label": "of directions: up, or barrier: whether take_profit, stop_loss or the end of the horizon is met first",
    "take_profit": "distance of the barrier above, in units of the volatility over the horizon; without it: 1",
    "stop_loss": "distance of the barrier below, in the same units; without it: 1",
    "transform": "auto: the search may try the logarithm where the target is positive; or none, log, asinh for all",
    "metric": "what the search minimises: sql, wql, mase, smape, rmse; log_loss or brier for direction",
    "test": "share of the newest rows that is locked away for `evaluate`",
    "budget": "time of search in total, over all calls, such as 90s, 2m or 1h30m",
    "families": "learners to search; without it: all in the space",
    "space": "what may vary: a name in search_spaces/, or a path",
    "sampler": "who draws from the space after its portfolio: tpe, random, grid, gp or cmaes",
    "pruner": "what stops a drawn trial between two windows: forgiving, successive_halving, hyperband, wilcoxon or none",
    "track": "board that trials are shown on as they end: none, tensorboard or mlflow (extra [tracking])",
    "backtest": "whether `evaluate` trades on the forecasts: the target is then a price",
    "seed": "root of every random stream",
}


class Pipeline(BaseModel):
    """A pipeline, validated once, at birth; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    target: str | None = None
    freq: str | None = None
    gaps: Literal["error", "mask", "fill"] = "error"
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    features: tuple[str, ...] = ("candles",)
    horizon: int = Field(ge=1)
    season: int | None = Field(default=None, ge=1)
    kind: Literal["quantiles", "direction"] = "quantiles"
    label: Literal["up", "barrier"] = "up"
    take_profit: float | None = Field(default=None, gt=0)
    stop_loss: float | None = Field(default=None, gt=0)
    quantiles: tuple[float, ...] = DECILES
    transform: Literal["auto", "none", "log", "asinh"] = "auto"
    metric: str = "auto"
    test: float = Field(default=0.2, ge=0, lt=0.9)
    windows: int | None = Field(default=None, ge=1, le=50)
    budget: str = "2m"
    families: tuple[str, ...] = ()
    space: str = "default"
    sampler: Literal["tpe", "random", "grid", "gp", "cmaes"] = "tpe"
    pruner: Literal["forgiving", "successive_halving", "hyperband", "wilcoxon", "none"] = "forgiving"
    track: Literal["none", "tensorboard", "mlflow"] = "none"
    backtest: bool = False
    seed: int = 0
    trials: tuple[Config, ...] = ()

    @field_validator("budget", mode="before")
    @classmethod
    def _budget_is_a_duration(cls, value: Any) -> str:
        seconds(value)
        return str(value)

    @field_validator("families")
    @classmethod
    def _families_are_registered(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = [*families(), *WRAPPERS]
        for name in value:
            if name not in known:
                raise ValueError(f"unknown family {name!r}; {did_you_mean(name, known)}")
        return value

    @field_validator("metric")
    @classmethod
    def _metric_is_registered(cls, value: str) -> str:
        if value not in {"auto", *METRICS}:
            raise ValueError(f"unknown metric {value!r}; {did_you_mean(value, list(METRICS))}")
        return value

    @model_validator(mode="after")
    def _metric_suits_the_kind(self) -> Self:
        if self.metric != "auto" and (self.metric in DIRECTION_METRICS) != (self.kind == "direction"):
            suited = [name for name in METRICS if (name in DIRECTION_METRICS) == (self.kind == "direction")]
            raise ValueError(f"metric {self.metric!r} does not score kind {self.kind!r}; there are: {', '.join(suited)}")
        return self

    @model_validator(mode="after")
    def _label_suits_the_rest(self) -> Self:
        if self.label == "barrier" and (self.kind != "direction" or self.transform not in ("auto", "none")):
            raise ValueError(
                f"label 'barrier' needs kind 'direction' and transform 'none' or 'auto', as barriers lie elsewhere under another one; got kind "
                f"{self.kind!r} and transform {self.transform!r}"
            )
        if self.label != "barrier" and (self.take_profit is not None or self.stop_loss is not None):
            raise ValueError("take_profit and stop_loss are distances of barriers: set label = 'barrier', or leave them out")
        return self

    @property
    def task(self) -> Task:
        """The forecasting task."""
        widths = {"take_profit": self.take_profit, "stop_loss": self.stop_loss}
        return Task(
            horizon=self.horizon,
            season_length=self.season or 1,
            quantiles=self.quantiles,
            kind=self.kind,
            label=self.label,
            seed=self.seed,
            **{name: width for name, width in widths.items() if width is not None},
        )

    @property
    def score_name(self) -> str:
        """Registered metric the search minimises."""
        if self.metric != "auto":
            return self.metric
        return "log_loss" if self.kind == "direction" else "sql"


def find(name: str, folder: str) -> Path:
    """Find a TOML file by name: in the working directory, then in the copy shipped with the package; a path works too.

    Raises
    ------
    BadInput
        When there is none; the message offers the nearest name.
    """
    if name.endswith(".toml") or "/" in name:
        path = Path(name)
        if path.is_file():
            return path
        raise BadInput(f"no file at {path}")
    places = [root / folder for root in (Path.cwd(), PACKAGE, PACKAGE.parent)]
    for place in places:
        if (place / f"{name}.toml").is_file():
            return place / f"{name}.toml"
    raise BadInput(f"no {folder}/{name}.toml here or in the package; {did_you_mean(name, list(names(folder)))}")


def names(folder: str) -> dict[str, Path]:
    """Name every TOML file that `find` would find in a folder."""
    found: dict[str, Path] = {}
    for root in (PACKAGE.parent, PACKAGE, Path.cwd()):
        found |= {path.stem: path for path in sorted((root / folder).glob("*.toml"))}
    return found


def parse_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    BadInput
        When it is not valid TOML; the message says where.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid TOML: {error}") from error


def read(path: Path) -> Pipeline:
    """Read and check a pipeline.

    Raises
    ------
    BadInput
        When a key is unknown, missing, or has an impossible value; when it is the record of a run that a newer package began.
    """
    table = parse_toml(path)
    resolved = table.pop("resolved", {})
    newer = isinstance(resolved, dict) and resolved.get("format", 1) not in range(1, RUN_FORMAT + 1)  # a run that does not say has the first one
    if newer:
        raise BadInput(
            f"{path.parent} is a run of format {resolved['format']}, this package reads up to {RUN_FORMAT}; upgrade it: "
            "pip install -U ensemble-forecast"
        )
    return check(table, str(path))


def read_resolved(path: Path) -> tuple[np.datetime64, str]:
    """Read what a run recorded about its data at its start: their last stamp, and their hash.

    Raises
    ------
    BadInput
        When the record lacks them.
    """
    try:
        resolved = parse_toml(path)["resolved"]
        return np.datetime64(resolved["data_end"]), str(resolved["data_hash"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path} is damaged: it does not say on which data the run was begun ({error}); begin anew with --fresh") from error


def check(table: dict[str, Any], where: str) -> Pipeline:
    """Validate the content of a pipeline.

    Raises
    ------
    BadInput
        When a key is unknown, missing, or has an impossible value; every complaint names the key and the way out.
    """
    try:
        pipeline = Pipeline(**table)
    except ValidationError as error:
        complaints = []
        for detail in error.errors():
            key, message = ".".join(map(str, detail["loc"])), detail["msg"].removeprefix("Value error, ")
            if detail["type"] == "extra_forbidden":
                complaints.append(f"unknown key {key!r}; {did_you_mean(key, list(Pipeline.model_fields))}")
            elif detail["type"] == "missing":
                complaints.append(f"{key} is missing")
            else:
                complaints.append(f"{key}: {message} (got {detail['input']!r})" if key else message)
        raise BadInput(f"{where}: " + "; ".join(complaints)) from error
    _ = pipeline.task  # refuses impossible quantiles and kinds at the door
    return pipeline


def changes(old: Pipeline, new: Pipeline) -> list[str]:
    """Say which settings differ that a study cannot change once it has begun."""
    before, after = old.model_dump(), new.model_dump()
    return [f"{key} was {before[key]!r}, now {after[key]!r}" for key in before if key not in MAY_CHANGE and before[key] != after[key]]


def to_toml(pipeline: Pipeline, resolved: dict[str, Any] | None = None) -> str:
    """Write a pipeline as commented TOML; ``resolved`` adds what a run found out (versions, the hash of the data)."""
    document = tomlkit.document()
    for key, value in pipeline.model_dump(mode="json", exclude_none=True).items():
        if value in ([], ()) and key != "features":
            continue
        if key == "trials":
            tables = tomlkit.aot()
            for trial in value:
                tables.append(tomlkit.item(trial))
            document.append(key, tables)
            continue
        item = tomlkit.item(value)
        if key in COMMENTS:
            item.comment(COMMENTS[key])
        document.append(key, item)
    if resolved:
        document.append("resolved", tomlkit.item(resolved))
    return tomlkit.dumps(document)


def write(pipeline: Pipeline, path: Path, resolved: dict[str, Any] | None = None) -> None:
    """Write a pipeline to a file, atomically."""
    atomic.write_text(path, to_toml(pipeline, resolved))


def is_source(name: str) -> bool:
    """Whether a pipeline's source is a registered one, with what it is to read after a colon, rather than a path."""
    return name.partition(":")[0] in SOURCES

"""The contract of everything that forecasts.

Conventions that let one function save, load, clone and test all of them:

* the dataclass fields of a learner are what may be searched; they are never changed by `fit`;
* what was learnt lives in attributes that end in ``_`` and is plain data: numpy arrays, numbers, strings, None, learners, and lists and
  dicts of these. A booster is kept as its bytes, a net as its arrays. Attributes that begin with ``_`` are caches and may be dropped;
* ``stopped_`` maps field names to the values that early stopping found: ``replace(learner, **learner.stopped_)`` is the refit's recipe.
"""

import abc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, NotFitted
from ensemble_forecast.registry import did_you_mean, find
from ensemble_forecast.windows import Roles, roles_until

Config = dict[str, Any]  # {"family": registered name, "params": {field: value}}
FAMILY_TABLES = ("learners", "nets", "wrappers")
USUAL_ROWS = 50_000  # (origin, step) rows that a learner which says nothing is taken to train on, at most
USUAL_ROW_S = 4e-5  # seconds a row costs it


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much there is to learn and to forecast in one fold: all that the cost of a fit depends on, besides the learner's own fields.

    Parameters
    ----------
    n_series, n_fit, n_scored
        Series, origins to fit on, origins to forecast.
    length
        Median steps of a series.
    n_past, n_known
        Covariates.
    """

    n_series: int
    n_fit: int
    n_scored: int
    length: int
    n_past: int = 0
    n_known: int = 0


@dataclass(kw_only=True)
class Learner(abc.ABC):
    """Recipe of a forecaster; a keyword-only dataclass whose fields are what may be searched."""

    family: ClassVar[str]
    group: ClassVar[str]  # linear, statistical, trees or deep
    kinds: ClassVar[tuple[str, ...]] = ("quantiles",)
    uses_past: ClassVar[bool] = False
    uses_known: ClassVar[bool] = False
    corrects: ClassVar[bool] = False  # honours Origins.base_NH: forecasts what a base forecast leaves over
    learns_from_origins: ClassVar[bool] = True  # False: reads only the history before an origin, so resampling origins changes nothing
    SMOKE: ClassVar[dict[str, Any]] = {}  # cheap parameters for the law suites

    @abc.abstractmethod
    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:
        """Learn from a panel that is cut at the fold's cutoff.

        Parameters
        ----------
        panel
            History up to and including the cutoff; nothing later is in it.
        roles
            Origins to fit on, and to stop early on (None: train to exactly the length the fields name).
        task
            Horizon, season, quantile levels, kind and seed.
        deadline
            Truncates long training; `truncated_` is then True.

        Raises
        ------
        TooShort
            When there is not a single origin to learn from.
        """

    def fit_many(self, panel: Panel, fits: Sequence[Origins], stop: Origins | None, tasks: Sequence[Task], deadline: Deadline) -> list[Self]:
        """Fit a copy for each of some sets of origins and tasks that differ in their seed only; see `fit`.

        When time is short there are fewer copies, never fewer than one.
        """
        fitted: list[Self] = []
        for place, (origins, task) in enumerate(zip(fits, tasks, strict=True)):
            if fitted and deadline.passed():
                break
            share = deadline.within(deadline.left() / (len(fits) - place))
            fitted.append(replace(self).fit(panel, Roles(origins, stop), task, share))
        return fitted

    @abc.abstractmethod
    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:
        """Forecast from each origin, reading nothing later than it.

        Returns
        -------
        float64 of shape (N, H, Q), increasing along Q (kind ``direction``: probabilities of down and up); NaN rows where an origin has
        too little history for this learner.

        Raises
        ------
        NotFitted
            When `fit` was not called before.
        """

    def work(self, size: Size, task: Task) -> float:
        """Estimate the seconds that one fit and one forecast take on a plain core: a pure function of the fields and the sizes.

        The search measures how many real seconds one of these is, family by family, so what matters is the ratio of two configurations of one
        family. A learner that says nothing is taken to cost the same whatever its fields.
        """
        return USUAL_ROW_S * min(size.n_fit * task.horizon, USUAL_ROWS)

    def memory(self, size: Size, task: Task) -> float:  # noqa: ARG002
        """Forecast the bytes that one fit takes at least, beside the panel: of the GPU's memory where it trains there, else of the process's.

        A search does not begin a trial that its worker has no room for. One of a learner that says nothing is only watched.
        """
        return 0.0

    def contributions(self, panel: Panel, origins: Origins) -> dict[str, float]:  # noqa: ARG002
        """Tell how much each input moves the forecasts from these origins: mean absolute contribution by name, in units of the learner's own.

        Empty for a learner that cannot tell.
        """
        return {}


def read_off(read: Callable[[Any], Any]) -> Any:
    """Return a property that stands for a class constant where it depends on the learners held."""
    return property(read)


class Wrapper(Learner):
    """A learner that holds another one, and can do what that one can."""

    member: Learner

    group = read_off(lambda self: self.member.group)
    kinds = read_off(lambda self: self.member.kinds)
    uses_past = read_off(lambda self: self.member.uses_past)
    uses_known = read_off(lambda self: self.member.uses_known)
    corrects = read_off(lambda self: self.member.corrects)
    learns_from_origins = read_off(lambda self: self.member.learns_from_origins)

    def memory(self, size: Size, task: Task) -> float:
        """Take what the member does; see `Learner.memory`."""
        return self.member.memory(size, task)


class Showing(Wrapper, abc.ABC):
    """A wrapper that shows its member another panel than its own."""

    member_: Learner

    @abc.abstractmethod
    def _shown(self, panel: Panel) -> Panel:
        """Make the panel that the member sees."""

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:
        """Let the member forecast by what it is shown; see `Learner.predict`."""
        check_fitted(self)
        return self.member_.predict(self._shown(panel), origins, deadline)

    def contributions(self, panel: Panel, origins: Origins) -> dict[str, float]:
        """Ask the member about what it is shown; see `Learner.contributions`."""
        return self.member_.contributions(self._shown(panel), origins)


def check_fitted(recipe: Any) -> None:
    """Refuse to use a learner, or another recipe with these conventions, that has learnt nothing."""
    if not any(name.endswith("_") for name in vars(recipe)):
        raise NotFitted(f"{recipe.family} is not fitted: call fit first")


def build(config: Config) -> Learner:
    """Construct the learner a config describes; values that are configs themselves become learners.

    Raises
    ------
    BadInput
        When the family or one of its parameters is unknown.
    """
    cls = find(config["family"], *FAMILY_TABLES)
    known = [field.name for field in fields(cls)]
    for name in config["params"]:
        if name not in known:
            raise BadInput(f"{config['family']} has no parameter {name!r}; {did_you_mean(name, known)}")
    return cls(**{name: _build_value(value) for name, value in config["params"].items()})


def fit_plain(family: str, panel: Panel, task: Task, cutoff_S: np.ndarray) -> Learner:
    """Fit a family with its defaults on all rows up to a cutoff: the naive rivals, and what serves where no member does."""
    train = panel.cut(cutoff_S)
    return build({"family": family, "params": {}}).fit(train, roles_until(train, task, cutoff_S, with_stop=False), task, Deadline.never())


def describe(learner: Learner) -> Config:
    """Return the config of a learner: JSON-able, and `build` turns it back into an equal one."""
    params = {field.name: getattr(learner, field.name) for field in fields(learner)}
    return {"family": learner.family, "params": {name: _describe_value(value) for name, value in params.items()}}


def plain_curve(curve: Sequence[tuple[float, ...]]) -> list[list[float | None]]:
    """Write a training's curve as JSON can: what is not a number as None."""
    return [[None if math.isnan(value) else value for value in point] for point in curve]


def training_of(learner: Learner) -> tuple[list[list[float | None]] | None, str | None]:
    """Return the curve (steps, loss in training and on the stop role, seconds) and its diagnosis, of a learner that keeps or wraps one."""
    inner = getattr(learner, "member_", learner)
    return getattr(inner, "_curve", None), getattr(inner, "diagnosis_", None)


def recipe_for_refit(learner: Learner) -> Learner:
    """Return the unfitted learner with the lengths that early stopping found."""
    check_fitted(learner)
    return replace(learner, **getattr(learner, "stopped_", {}))


def _build_value(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"family", "params"}:
        return build(value)
    return tuple(map(_build_value, value)) if isinstance(value, list | tuple) else value


def _describe_value(value: Any) -> Any:
    if isinstance(value, Learner):
        return describe(value)
    return [_describe_value(item) for item in value] if isinstance(value, list | tuple) else value

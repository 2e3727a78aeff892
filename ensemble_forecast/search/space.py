"""What may vary: the holes of each family, what they hold by default, and how a trial fills them. How a file says so: see `spaces`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, Protocol

from ensemble_forecast.errors import BadInput, MissingPackage
from ensemble_forecast.learners.base import FAMILY_TABLES, Config, build
from ensemble_forecast.learners.deep.recipe import LOSSES
from ensemble_forecast.registry import NETS, did_you_mean, find

Params = dict[str, Any]  # fields of a family, and `transform`
AUTO = "auto"  # as a choice: the field is left to the learner, whose default is then None; TOML has no null
TRANSFORM, TRANSFORMED = "transform", "transformed"  # the key, and the wrapper it stands for
UNTRANSFORMED = "none"
TRANSFORMS = (UNTRANSFORMED, "log", "asinh")


class Trial(Protocol):
    """The part of an Optuna trial that a draw needs."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float:
        """Draw a float."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Draw an integer."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Draw one of the choices."""


@dataclass(frozen=True, kw_only=True)
class Hole:
    """A leaf of the space that the search fills, validated once, at birth."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()
    when: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None) or bool(self.choices) != (self.low is None):
            raise BadInput("a hole has either low and high, or choices")
        if self.low is None or self.high is None:
            if self.log or self.step is not None:
                raise BadInput("log and step go with low and high, not with choices")
            return
        if self.low >= self.high or (self.log and (self.low <= 0 or self.step is not None)):
            raise BadInput(
                f"low must lie below high, above 0 with log, and log excludes step; got low {self.low}, high {self.high}, step {self.step}"
            )

    @property
    def is_whole(self) -> bool:
        """Whether only integers fit."""
        return isinstance(self.low, int) and isinstance(self.high, int) and not isinstance(self.step, float)

    @property
    def labels(self) -> list[Any]:
        """The choices as Optuna keeps them: lists and configs as JSON text."""
        return [label(choice) for choice in self.choices]

    def fits(self, value: Any) -> bool:
        """Whether a value may fill the hole."""
        if self.low is None or self.high is None:
            return label(value) in self.labels
        is_number = isinstance(value, int if self.is_whole else int | float) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high

    def applies(self, params: Params) -> bool:
        """Whether the hole is filled at all, given what was filled before."""
        return all(name in params and params[name] == value for name, value in self.when.items())

    def draw(self, name: str, trial: Trial) -> Any:
        """Let a trial fill the hole."""
        if self.low is None or self.high is None:
            return self.choices[self.labels.index(trial.suggest_categorical(name, self.labels))]
        if self.is_whole:
            return trial.suggest_int(name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)


@dataclass(frozen=True)
class FamilySpace:
    """The table of one family."""

    family: str
    fixed: Params
    holes: Mapping[str, Hole]
    entries: tuple[Params, ...]

    def defaults(self) -> Params:
        """Value of every hole when nobody says otherwise: the learner's own default."""
        own = {item.name: item.default for item in fields(find(self.family, *FAMILY_TABLES)) if item.default is not MISSING}
        return {name: AUTO if own[name] is None else plain(own[name]) for name in self.holes if name in own}

    def complete(self, entry: Params) -> Params:
        """Fill up a portfolio entry: fixed values, then defaults of the holes that apply."""
        given = {TRANSFORM: UNTRANSFORMED} | self.defaults() | self.fixed | entry
        params = {name: value for name, value in given.items() if name in self.fixed or name in entry}
        for name, hole in self.holes.items():
            if name in given and hole.applies(params):
                params[name] = given[name]
        return _left_out(params)

    def filled(self, params: Params) -> Params:
        """Return the holes that some parameters fill, as Optuna keeps them."""
        filled, told = {}, {TRANSFORM: UNTRANSFORMED} | params
        for name, hole in self.holes.items():
            value = told.get(name, AUTO)
            if hole.applies(told) and hole.fits(value):
                filled[name] = label(value)
        return filled

    def portfolio(self) -> list[Params]:
        """Return the warm start, in order, each entry completed, none twice."""
        return list({canonical(self.family, params): params for params in map(self.complete, self.entries)}.values())

    def draw(self, trial: Trial) -> Params:
        """Let a trial fill every hole that applies."""
        params = dict(self.fixed)
        for name, hole in self.holes.items():
            if hole.applies(params):
                params[name] = hole.draw(name, trial)
        return _left_out(params)

    def under(self, transforms: Sequence[str]) -> "FamilySpace":
        """Keep to the transforms that the data allow; one that they do not is replaced by the last that they do."""

        def allowed(name: str) -> str:
            return name if name in transforms else transforms[-1]

        if self.family == TRANSFORMED:
            return self
        own = str(self.fixed.get(TRANSFORM, UNTRANSFORMED))
        hole, holes = self.holes.get(TRANSFORM), dict(self.holes)
        fixed = {name: value for name, value in self.fixed.items() if name != TRANSFORM}
        entries = [entry | {TRANSFORM: allowed(entry.get(TRANSFORM, own))} for entry in self.entries]
        if hole is None:
            fixed[TRANSFORM] = allowed(own)
        else:
            holes[TRANSFORM] = replace(hole, choices=tuple(dict.fromkeys(allowed(choice) for choice in hole.choices)))
        return replace(self, fixed=fixed, holes=holes, entries=tuple(entries))

    def serving(self, kind: str) -> "FamilySpace":
        """Keep to the losses that a net may minimise for a kind of task."""
        hole = self.holes.get("loss")
        if self.family not in NETS or hole is None:
            return self
        own = tuple(choice for choice in hole.choices if choice == AUTO or choice in LOSSES[kind])
        holes = {name: replace(each, choices=own) if name == "loss" else each for name, each in self.holes.items() if name != "loss" or own}
        return replace(self, holes=holes)


@dataclass(frozen=True)
class Space:
    """All tables of a space file, in its order.

    Parameters
    ----------
    where
        The file, for messages.
    source
        Its content, from which a worker builds the same table again.
    """

    where: str
    tables: Mapping[str, FamilySpace]
    source: Mapping[str, Any]

    @property
    def families(self) -> tuple[str, ...]:
        """Families with a table, cheap ones first by convention."""
        return tuple(self.tables)

    def portfolio(self, family: str) -> list[Params]:
        """Return the warm start of a family."""
        return self.tables[family].portfolio()

    def draw(self, family: str, trial: Trial) -> Params:
        """Draw parameters of a family."""
        return self.tables[family].draw(trial)

    def under(self, transforms: Sequence[str]) -> "Space":
        """Keep to the transforms that the data allow."""
        return replace(self, tables={name: table.under(transforms) for name, table in self.tables.items()})

    def serving(self, kind: str) -> "Space":
        """Keep to what serves a kind of task."""
        return replace(self, tables={name: table.serving(kind) for name, table in self.tables.items()})

    def only(self, names: Sequence[str]) -> "Space":
        """Keep the named families, in the space's order; all, where none is named.

        Raises
        ------
        BadInput
            When a named family has no table here.
        """
        for name in names:
            if name not in self.tables:
                raise BadInput(f"{self.where}: no table for family {name!r}; {did_you_mean(name, list(self.tables))}")
        return replace(self, tables={name: table for name, table in self.tables.items() if not names or name in names})

    def kinds(self, family: str) -> tuple[str, ...]:
        """Kinds of task that a family serves; for a wrapper, those of what it holds. Imports the learner."""
        table = self.tables[family]
        return tuple(build(config_of(family, table.complete(table.entries[0]))).kinds)

    def check(self) -> None:
        """Construct what the tables describe: imports the learners.

        Raises
        ------
        BadInput
            When a key is no field of its learner, or a default or a portfolio entry lies outside its hole; names file, table and key.
        """
        for family, table in self.tables.items():
            _check_table(table, f"{self.where}: [{family}]")


def config_of(family: str, params: Params) -> Config:
    """Turn a family's parameters into what `learners.base.build` takes: a transform becomes a wrapper."""
    if family == TRANSFORMED:
        return {"family": family, "params": params}
    transform = params.get(TRANSFORM, UNTRANSFORMED)
    config = {"family": family, "params": {name: value for name, value in params.items() if name != TRANSFORM}}
    return config if transform == UNTRANSFORMED else {"family": TRANSFORMED, "params": {TRANSFORM: transform, "member": config}}


def canonical(family: str, params: Params) -> str:
    """Return one text for one configuration, whatever the order of its keys: two equal ones are the same trial."""
    return json.dumps([family, _left_out(params)], sort_keys=True)


def label(choice: Any) -> Any:
    """Return a choice as Optuna keeps it: scalars as they are, all else as JSON text."""
    return choice if choice is None or isinstance(choice, bool | int | float | str) else json.dumps(plain(choice), sort_keys=True)


def plain(value: Any) -> Any:
    """Return a value as JSON would: tuples become lists."""
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _left_out(params: Params) -> Params:
    """Drop what is left to the learner, and the transform that does nothing."""
    return {name: value for name, value in params.items() if value != AUTO and (name, value) != (TRANSFORM, UNTRANSFORMED)}


def _check_table(table: FamilySpace, where: str) -> None:
    known = [item.name for item in fields(find(table.family, *FAMILY_TABLES))]
    if table.family != TRANSFORMED:
        known.append(TRANSFORM)
    for keys, place in ((table.fixed, ""), (table.holes, ""), *((entry, f" portfolio entry {rank}") for rank, entry in enumerate(table.entries, 1))):
        for name in keys:
            if name not in known:
                raise BadInput(f"{where}{place}: {table.family} has no field {name!r}; {did_you_mean(name, known)}")
    for rank, entry in enumerate(table.entries, 1):
        for name, value in table.complete(entry).items():
            if name in table.holes and not table.holes[name].fits(value):
                source = "" if name in entry else " (the learner's default)"
                raise BadInput(f"{where} portfolio entry {rank}: {name} = {value!r}{source} lies outside its hole; widen the hole or name a value")
        transform = entry.get(TRANSFORM, UNTRANSFORMED)
        if transform not in TRANSFORMS:
            raise BadInput(f"{where} portfolio entry {rank}: transform must be one of {', '.join(TRANSFORMS)}; got {transform!r}")
        try:
            build(config_of(table.family, table.complete(entry)))
        except MissingPackage:
            raise
        except (BadInput, TypeError) as error:
            raise BadInput(f"{where} portfolio entry {rank}: {error}") from error

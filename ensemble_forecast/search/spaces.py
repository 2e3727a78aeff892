"""Spaces read from files: TOML with one table a family, whose leaves are values or holes.

::

    [ridge]                                              # a registered learner, net or wrapper; cheap families first
    penalty = {low = 1e-4, high = 1.0, log = true}       # a hole: floats, or integers where both bounds are; step = 2 for a grid
    centre = {choices = ["last", "season"]}              # a hole: one of these; a choice may be a list or a config
    robust = {choices = [true, false], when = {centre = "season"}}      # drawn under a condition only, else the learner's default
    past_lags = 3                                        # a value: fixed for the family
    context = {choices = ["auto", 32, 64]}               # "auto": left to the learner
    transform = {choices = ["none", "log"]}              # allowed in every family: the learner is wrapped in `transformed`
    portfolio = [{}, {centre = "season"}]                # tried first, in this order; what an entry leaves out has its default

Keys are fields of the learner. A family whose portfolio is all there is to try needs no hole. What stands in the table ``[nets]`` holds for every
net that has a table of its own, unless that says otherwise. ``extends = "deep"`` at the top takes over all tables of another space; what stands in
the file is added to them, key by key.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ensemble_forecast import pipeline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.registry import NETS, WRAPPERS, did_you_mean, families
from ensemble_forecast.search.space import FamilySpace, Hole, Space

HOLE_KEYS = ["low", "high", "log", "step", "choices", "when"]
EXTENDS = "extends"  # the key that names a space to start from
SHARED = "nets"  # the table of what all nets have in common


def load_space(name_or_path: str) -> Space:
    """Read a space: a path, or a name looked up in ``./search_spaces/``, then in the copy shipped with the package.

    Raises
    ------
    BadInput
        When there is no such file, or it is not a space.
    """
    path = pipeline.find(name_or_path, "search_spaces")
    return parse_space(_extended(path), path)


def parse_space(content: Mapping[str, Any], where: Path | str) -> Space:
    """Build a space from the content of its file."""
    known, shared = [*families(), *WRAPPERS], content.get(SHARED, {})
    merged = {family: {**shared, **table} if family in NETS and isinstance(table, dict) else table for family, table in content.items()}
    tables = {}
    for family, table in merged.items():
        if family == SHARED:
            continue
        if family not in known or not isinstance(table, dict):
            raise BadInput(f"{where}: a space has one table a family, and {family!r} is none; {did_you_mean(family, known)}")
        tables[family] = _parse_table(family, dict(table), f"{where}: [{family}]")
    if not tables:
        raise BadInput(f"{where}: a space has at least one table, such as [ridge]")
    return Space(str(where), tables, merged)


def _extended(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a space's file, over the one that it extends."""
    if path.resolve() in above:
        raise BadInput(f"{path}: a space cannot extend itself; copy the tables that it is to start from, or give it another name")
    content = pipeline.parse_toml(path)
    if EXTENDS not in content:
        return content
    tables = _extended(pipeline.find(str(content.pop(EXTENDS)), "search_spaces"), (*above, path.resolve()))
    for family, table in content.items():
        tables[family] = {**tables.get(family, {}), **table} if isinstance(table, dict) else table
    return tables


def _parse_table(family: str, table: dict[str, Any], where: str) -> FamilySpace:
    """Tell values from holes."""
    entries = table.pop("portfolio", [{}])
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise BadInput(f"{where}: portfolio must be a list of tables, such as [{{}}, {{penalty = 0.1}}]")
    holes, fixed = {}, {}
    for name, value in table.items():
        if not isinstance(value, dict) or set(value) == {"family", "params"}:
            fixed[name] = value
            continue
        for key in value:
            if key not in HOLE_KEYS:
                raise BadInput(f"{where} {name}: unknown key {key!r} in a hole; {did_you_mean(key, HOLE_KEYS)}")
        for other in value.get("when", {}):
            if other not in holes and other not in fixed:
                raise BadInput(f"{where} {name}: its condition names {other!r}, which must stand before it in the table")
        try:
            holes[name] = Hole(**value | ({"choices": tuple(value["choices"])} if "choices" in value else {}))
        except BadInput as error:
            raise BadInput(f"{where} {name}: {error}") from error
    return FamilySpace(family, fixed, holes, tuple(entries))

import inspect
from dataclasses import fields, is_dataclass

import pytest
from smoke import smoke

from ensemble_forecast.errors import BadInput, MissingPackage
from ensemble_forecast.learners.base import Learner, build
from ensemble_forecast.registry import COMBINERS, LEARNERS, NETS, TABLES, WRAPPERS, did_you_mean, families, find

ENTRIES = [(table, name) for table, names in TABLES.items() for name in names]
LEARNING = [*LEARNERS, *NETS, *WRAPPERS]


@pytest.mark.parametrize(("table", "name"), ENTRIES)
def test_every_entry_imports_and_bears_its_name(table, name):
    found = find(name, table)
    assert callable(found)
    assert found.__doc__, "every entry says what it is"
    assert not inspect.isabstract(found)
    if inspect.isclass(found):
        assert found.family == name


def test_what_needs_a_package_that_is_not_there_names_it(monkeypatch):
    monkeypatch.setitem(TABLES["graphs"], "lost", "no_such_package.module:function")
    with pytest.raises(MissingPackage, match="needs the package no_such_package"):
        find("lost", "graphs")


def test_no_name_stands_for_two_things():
    for tables in (("learners", "nets", "wrappers"), ("combiners",), ("metrics",)):
        names = [name for table in tables for name in TABLES[table]]
        assert len(names) == len(set(names))
    assert families() == [*LEARNERS, *NETS]


@pytest.mark.parametrize(("table", "name"), [entry for entry in ENTRIES if entry[0] in {"learners", "nets", "wrappers", "combiners"}])
def test_a_concrete_class_is_a_final_keyword_only_dataclass(table, name):
    cls = find(name, table)
    assert is_dataclass(cls)
    assert all(item.kw_only for item in fields(cls))
    assert all(inspect.isabstract(parent) for parent in cls.__mro__[1:-1] if is_dataclass(parent)), "it overrides a concrete class"
    assert not cls.__subclasses__(), "somebody derives from it"


@pytest.mark.parametrize("name", LEARNING)
def test_smoke_parameters_build(name):
    assert isinstance(smoke(name), Learner)


@pytest.mark.parametrize("name", [*LEARNERS, *NETS])
def test_a_searched_family_builds_from_its_defaults(name):
    assert build({"family": name, "params": {}}).family == name


@pytest.mark.parametrize("name", COMBINERS)
def test_a_combiner_builds_from_its_defaults(name):
    assert find(name, "combiners")().family == name


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(BadInput, match="did you mean 'ridge'"):
        find("rigde", "learners", "nets")
    assert did_you_mean("zzz", ["b", "a"]) == "there are: a, b"
    with pytest.raises(BadInput, match="unknown name 'mlp' in learners;"):
        find("mlp", "learners")


def test_an_unknown_parameter_is_refused_with_the_nearest_one():
    field = fields(find("xgboost", "learners"))[0].name
    with pytest.raises(BadInput, match=f"did you mean '{field}'"):
        build({"family": "xgboost", "params": {field + "x": 1}})

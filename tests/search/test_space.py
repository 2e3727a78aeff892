import tomllib

import optuna
import pytest

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import build
from ensemble_forecast.search.space import canonical, config_of
from ensemble_forecast.search.spaces import load_space, parse_space


def parse(text):
    return parse_space(tomllib.loads(text), "my.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[rigde]", r"my.toml: .*'rigde'.*did you mean 'ridge'"),
        ("ridge = 3", r"my.toml: a space has one table a family"),
        ("", r"at least one table"),
        ("[ridge]\npenalty = {low = 1.0}", r"my.toml: \[ridge\] penalty: a hole has either low and high, or choices"),
        ("[ridge]\npenalty = {low = 1.0, high = 2.0, choices = [1.0]}", r"either low and high, or choices"),
        ("[ridge]\npenalty = {low = 2.0, high = 1.0}", r"low must lie below high"),
        ("[ridge]\npenalty = {low = 0.0, high = 1.0, log = true}", r"above 0 with log"),
        ("[ridge]\npenalty = {low = 1.0, high = 2.0, log = true, step = 0.5}", r"log excludes step"),
        ("[ridge]\ncentre = {choices = ['last'], log = true}", r"log and step go with low and high"),
        ("[ridge]\npenalty = {low = 1.0, hihg = 2.0}", r"\[ridge\] penalty: unknown key 'hihg' in a hole; did you mean 'high'"),
        ("[ridge]\npenalty = {low = 1.0, high = 2.0, when = {centre = 'last'}}", r"names 'centre', which must stand before it"),
        ("[ridge]\nportfolio = 3", r"portfolio must be a list of tables"),
        ("[ridge]\nportfolio = []", r"portfolio must be a list of tables"),
    ],
)
def test_a_malformed_space_is_refused_by_file_table_and_key(text, message):
    with pytest.raises(BadInput, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[ridge]\npenlty = 0.1", r"my.toml: \[ridge\]: ridge has no field 'penlty'; did you mean 'penalty'"),
        ("[ridge]\nportfolio = [{}, {penlty = 0.1}]", r"\[ridge\] portfolio entry 2: ridge has no field 'penlty'"),
        ("[ridge]\npast_lags = {low = 5, high = 9}", r"portfolio entry 1: past_lags = 3 \(the learner's default\) lies outside its hole"),
        ("[ridge]\ncentre = {choices = ['last', 'season']}\nportfolio = [{centre = 'window'}]", r"centre = 'window' lies outside its hole"),
        ("[ridge]\npast_lags = {low = 1, high = 9}\nportfolio = [{past_lags = 2.5}]", r"past_lags = 2.5 lies outside"),
        ("[ridge]\nportfolio = [{centre = 'middle'}]", r"portfolio entry 1: centre must be one of"),
        ("[ridge]\nportfolio = [{transform = 'sqrt'}]", r"transform must be one of none, log, asinh; got 'sqrt'"),
        ("[boosted]\nportfolio = [{}]", r"portfolio entry 1: .*stages"),
    ],
)
def test_a_space_that_fits_no_learner_is_refused(text, message):
    with pytest.raises(BadInput, match=message):
        parse(text).check()


@pytest.mark.parametrize("name", ["default", "smoke"])
@pytest.mark.parametrize("transforms", [("none",), ("log",), ("none", "log"), ("none", "asinh")])
def test_shipped_spaces_build_every_entry_and_draw(name, transforms):
    space = load_space(name).under(transforms)
    space.check()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for family in space.families:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        drawn = [space.draw(family, study.ask()) for _ in range(5)] if space.tables[family].holes else []
        for params in space.portfolio(family) + drawn:
            build(config_of(family, params))
            assert params.get("transform", "none") in transforms


def test_an_entry_is_completed_by_fixed_values_and_defaults_and_none_stands_twice():
    space = parse("[xgboost]\nrounds = 7\ndepth = {low = 2, high = 9}\nportfolio = [{}, {depth = 2}, {depth = 6}]")
    assert space.portfolio("xgboost") == [{"rounds": 7, "depth": 6}, {"rounds": 7, "depth": 2}]  # 6 is the learner's default


def test_a_condition_decides_whether_a_hole_is_filled():
    text = "[ridge]\ncentre = {choices = ['last', 'season']}\npast_lags = {low = 1, high = 9, when = {centre = 'last'}}"
    space = parse(text + "\nportfolio = [{centre = 'season'}]")
    assert space.draw("ridge", optuna.trial.FixedTrial({"centre": "last", "past_lags": 5})) == {"centre": "last", "past_lags": 5}
    assert space.draw("ridge", optuna.trial.FixedTrial({"centre": "season"})) == {"centre": "season"}
    assert space.portfolio("ridge") == [{"centre": "season"}]


def test_auto_leaves_a_field_to_the_learner():
    space = parse("[ridge]\ncontext = {choices = ['auto', 24]}")
    space.check()
    assert space.portfolio("ridge") == [{}]
    assert space.draw("ridge", optuna.trial.FixedTrial({"context": "auto"})) == {}
    assert space.tables["ridge"].filled({}) == {"context": "auto"}
    assert space.tables["ridge"].filled({"context": 24}) == {"context": 24}


def test_lists_and_configs_may_be_choices():
    chain = [{"family": "seasonal_naive", "params": {}}, {"family": "ridge", "params": {}}]
    space = parse_space({"boosted": {"stages": {"choices": [chain, chain[::-1]]}, "portfolio": [{"stages": chain}]}}, "my.toml")
    label = space.tables["boosted"].filled({"stages": chain})["stages"]
    assert space.draw("boosted", optuna.trial.FixedTrial({"stages": label})) == {"stages": chain}
    space.check()
    assert space.kinds("boosted") == ("quantiles",)


def test_integers_are_drawn_where_both_bounds_are():
    space = parse("[xgboost]\nrounds = {low = 10, high = 20, step = 5}\neta = {low = 0.1, high = 1.0}")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [space.draw("xgboost", study.ask()) for _ in range(20)]
    assert {params["rounds"] for params in drawn} == {10, 15, 20}
    assert all(isinstance(params["eta"], float) for params in drawn)


def test_a_transform_becomes_a_wrapper():
    inner = {"family": "ridge", "params": {"centre": "last"}}
    assert config_of("ridge", {"centre": "last"}) == config_of("ridge", {"centre": "last", "transform": "none"}) == inner
    assert config_of("ridge", {"centre": "last", "transform": "log"}) == {"family": "transformed", "params": {"transform": "log", "member": inner}}
    own = {"transform": "asinh", "member": inner}
    assert config_of("transformed", own) == {"family": "transformed", "params": own}


def test_one_configuration_has_one_text():
    assert canonical("ridge", {"a": 1, "b": [1, 2]}) == canonical("ridge", {"b": [1, 2], "a": 1, "transform": "none"})
    assert canonical("ridge", {"a": 1}) != canonical("ridge", {"a": 2}) != canonical("theta", {"a": 2})


def test_transforms_that_the_data_forbid_are_replaced():
    space = parse("[ridge]\ntransform = {choices = ['none', 'log']}\nportfolio = [{}, {transform = 'log'}]\n[naive]")
    assert [entry.get("transform") for entry in space.under(("none", "asinh")).portfolio("ridge")] == [None, "asinh"]
    assert space.under(("none",)).portfolio("ridge") == [{}]
    assert space.under(("log",)).portfolio("naive") == [{"transform": "log"}]
    assert space.under(("log",)).tables["ridge"].holes["transform"].choices == ("log",)


def test_families_can_be_chosen_in_the_order_of_the_space():
    space = parse("[naive]\n[drift]\n[ridge]")
    assert space.only(["ridge", "naive"]).families == ("naive", "ridge")
    assert space.only([]).families == ("naive", "drift", "ridge")
    with pytest.raises(BadInput, match="no table for family 'rigde'; did you mean 'ridge'"):
        space.only(["rigde"])


def test_a_space_is_found_in_the_working_directory_first_and_by_path(tmp_path, monkeypatch):
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "mine.toml").write_text("[drift]")
    monkeypatch.chdir(tmp_path)
    assert load_space("mine").families == load_space("search_spaces/mine.toml").families == ("drift",)
    with pytest.raises(BadInput, match="did you mean 'default'"):
        load_space("defualt")


def test_what_all_nets_share_stands_once_and_a_net_may_say_otherwise():
    shared = {"dropout": {"low": 0.0, "high": 0.4}, "steps": {"low": 10, "high": 20}}
    space = parse_space({"nets": shared, "ridge": {}, "mlp": {"blocks": {"low": 1, "high": 2}}, "tcn": {"steps": 15}}, "here")
    assert space.families == ("ridge", "mlp", "tcn")
    assert list(space.tables["mlp"].holes) == ["dropout", "steps", "blocks"]
    assert list(space.tables["tcn"].holes) == ["dropout"]
    assert space.tables["tcn"].fixed == {"steps": 15}
    assert not space.tables["ridge"].holes
    again = parse_space({family: space.source[family] for family in ("mlp",)}, "here")  # as a worker is handed it
    assert again.tables["mlp"] == space.tables["mlp"]


def test_a_space_may_extend_another_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces/small.toml").write_text("[ridge]\npenalty = 0.1\ncontext = {choices = [3, 4]}\n[naive]\n")
    (tmp_path / "search_spaces/large.toml").write_text('extends = "small"\n[ridge]\npenalty = {low = 0.1, high = 1.0}\n[drift]\n')
    space = load_space("large")
    assert space.families == ("ridge", "naive", "drift")
    assert list(space.tables["ridge"].holes) == ["penalty", "context"]
    assert space.tables["ridge"].fixed == {}


def test_a_space_that_extends_itself_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces/default.toml").write_text('extends = "default"\n[naive]\n')
    with pytest.raises(BadInput, match="cannot extend itself"):
        load_space("default")


@pytest.mark.parametrize(("kind", "allowed"), [("quantiles", {"auto", "mse"}), ("direction", {"auto", "categorical_cross_entropy"})])
def test_a_net_is_asked_only_for_losses_of_the_tasks_kind(kind, allowed):
    choices = {"loss": {"choices": ["auto", "mse", "categorical_cross_entropy"]}}
    space = parse_space({"mlp": choices, "adaboost": {"loss": {"choices": ["linear", "square"]}}}, "here").serving(kind)
    assert set(space.tables["mlp"].holes["loss"].choices) == allowed
    assert len(space.tables["adaboost"].holes["loss"].choices) == 2

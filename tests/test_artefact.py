"""A forged ensemble, its seals in order: what does not fit together is refused when it is loaded, not when it forecasts."""

import json

import numpy as np
import pytest
import safetensors.numpy
from mutants import seal, sound
from small_ensemble import history

import ensemble_forecast
from ensemble_forecast import artefact
from ensemble_forecast.errors import BadInput


def arrays(member, **changes):
    """A forgery of a member's arrays, by their keys."""

    def forge(files):
        name = f"member.{member}-0001.safetensors"
        held = dict(safetensors.numpy.load(files[name]))
        for key, change in changes.items():
            held[key.removeprefix("a")] = np.ascontiguousarray(change(held[key.removeprefix("a")].copy()))
        files[name] = safetensors.numpy.save(held)

    return forge


def manifest(**changes):
    """A forgery of what the manifest says."""

    def forge(files):
        head = json.loads(files["manifest.json"])
        head["manifest"] |= changes
        files["manifest.json"] = json.dumps(head).encode()

    return forge


def structure(name, old, new):
    """A forgery of a part's structure."""

    def forge(files):
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)

    return forge


def at(place, value):
    """A change of one number of an array."""

    def change(array):
        array.flat[place] = value
        return array

    return change


def key_of(files, member, attribute):
    """Key of the array that holds an attribute."""
    node = json.loads(files[f"member.{member}-0001.json"])["learnt"]
    for name in attribute.split("."):
        node = node[name] if name in node else dict(node["dict"])[name]
    return node["array"]


FORGERIES = {
    "weights of another shape": (
        lambda files: arrays("mlp", **{"a" + net_weight(files): lambda array: array[:-1]})(files),
        "are not those of its net",
    ),
    "weights that are NaN": (lambda files: arrays("mlp", **{"a" + net_weight(files): at(0, np.nan)})(files), "NaN or infinity in weights_"),
    "a net far too wide for any memory": (structure("member.mlp-0001.json", b'"width": ', b'"width": 1000000'), "are not those of its net"),
    "a tree that runs in a circle": (
        lambda files: arrays("random_forest", **{"a" + key_of(files, "random_forest", "nodes_.left"): at(0, 0)})(files),
        "no trees",
    ),
    "a booster that is a pickle": (
        lambda files: arrays("xgboost", **{"a" + key_of(files, "xgboost", "booster_"): lambda _: np.frombuffer(b"\x80\x04K\x01.", dtype=np.uint8)})(
            files
        ),
        "bytes of a booster are damaged",
    ),
    "a member that is not there": (manifest(members=[]), "does not fit together"),
    "no columns": (manifest(columns=None), "manifest has columns wrong"),
    "a column with two roles": (manifest(columns={"target": "y", "past": ["y"], "known": [], "static": [], "freq": "D"}), "one role"),
    "a calendar that is none": (manifest(columns={"target": "y", "past": ["load"], "known": [], "static": [], "freq": "fortnight"}), "freq must be"),
    "a stamp that is none": (structure("until.json", b"2024-03-30", b"yesterday!"), "does not fit together"),
    "a task of half a step": (structure("task.json", b'"horizon": 3', b'"horizon": 0.5'), "horizon = 0.5"),
}


def net_weight(files):
    """Key of the first matrix of the net."""
    held = safetensors.numpy.load(files["member.mlp-0001.safetensors"])
    return next(key for key in sorted(held) if held[key].ndim == 2 and held[key].dtype == np.float32)


def written(files, folder):
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("case", FORGERIES)
def test_what_does_not_fit_together_is_refused(case, tmp_path):
    forge, message = FORGERIES[case]
    files = dict(sound()[0])
    forge(files)
    seal(files)
    with pytest.raises(BadInput, match=message):
        ensemble_forecast.load(written(files, tmp_path))


def test_an_error_in_the_forecast_of_a_loaded_model_names_its_folder(tmp_path):
    """What only shows when it forecasts: the coefficients of a ridge for other windows than it was fitted to."""
    files = dict(sound()[0])
    arrays("ridge", **{"a" + key_of(files, "ridge", "coefficients_"): lambda array: array[:-1]})(files)
    seal(files)
    model = ensemble_forecast.load(written(files, tmp_path))
    with pytest.raises(BadInput, match=rf"{tmp_path}.*does not fit together \(ValueError") as caught:
        model.predict(history())
    assert isinstance(caught.value.__cause__, ValueError)


def test_what_a_caller_does_wrong_is_not_blamed_on_the_folder(tmp_path):
    with pytest.raises(BadInput, match=r"^the frame$"), artefact.blaming(tmp_path):
        raise BadInput("the frame")
    with pytest.raises(KeyboardInterrupt), artefact.blaming(tmp_path):
        raise KeyboardInterrupt

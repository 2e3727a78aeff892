"""A saved ensemble spoilt at random: by bit flips, truncation, swapped files, edited JSON, pickles under other names, lying headers, forged seals."""

import functools
import io
import json
import math
import os
import pickle
import struct
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import safetensors.numpy
from small_ensemble import FAMILIES, history, save_ensemble

import ensemble_forecast
from ensemble_forecast.errors import BadInput
from ensemble_forecast.persist import MANIFEST, _checksum, _seal

WATCHED = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect")
EXECUTED = []  # what the interpreter did that no loading may do
ODD = (None, True, -1, 0, 1, 7, 10**9, 2**63, -(10**30), 0.5, 1e308, "", "x", "learners:naive", "os:system", [], [[]], {}, {"float": "nan"})
ODD += ({"array": "0000", "order": "C"}, {"tuple": [1]}, {"task": {}}, {"object": "builtins:eval", "fields": {}, "learnt": {}}, {"bytes": "0000"})


class Harm:
    """What a pickle does when it is loaded."""

    def __reduce__(self):
        return os.system, ("touch harmed",)


@functools.cache
def sound():
    """Return the files of a sound artefact by name, and what it forecasts."""
    with tempfile.TemporaryDirectory() as folder:
        save_ensemble(Path(folder) / "art", (*FAMILIES, "elastic_net"))
        files = {path.name: path.read_bytes() for path in sorted((Path(folder) / "art").iterdir())}
        forecast = ensemble_forecast.load(Path(folder) / "art").predict(history())
    sys.addaudithook(lambda event, _: EXECUTED.append(event) if event in WATCHED else None)
    return files, forecast


def pick(rng, names):
    """Choose one of some names."""
    names = sorted(names)
    return names[rng.integers(len(names))]


def flip(files, rng):
    name = pick(rng, files)
    content = bytearray(files[name])
    for place in rng.integers(8 * len(content), size=rng.integers(1, 4)):
        content[place // 8] ^= 1 << (place % 8)
    files[name] = bytes(content)


def cut(files, rng):
    name = pick(rng, files)
    files[name] = files[name][: rng.integers(len(files[name]))]


def swap(files, rng):
    one, other = pick(rng, files), pick(rng, files)
    files[one], files[other] = files[other], files[one]


def drop(files, rng):
    del files[pick(rng, files)]


def add(files, rng):
    files[("evil.py", "more.json", "member.x-0001.safetensors", "model.pkl")[rng.integers(4)]] = b"import os; os.system('touch harmed')"


def pickled(files, rng):
    files[pick(rng, files)] = pickle.dumps(Harm(), protocol=int(rng.integers(6)))


def spots(node):
    """Every place in parsed JSON: its container and key."""
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(value, dict | list):
            yield from spots(value)


def edit(files, rng):
    """Change, remove or repeat something in a JSON file."""
    name = pick(rng, [name for name in files if name.endswith(".json")])
    parsed = json.loads(files[name])
    places = list(spots(parsed)) if isinstance(parsed, dict | list) else []
    if not places:
        return
    container, key = places[rng.integers(len(places))]
    match rng.integers(4):
        case 0:
            del container[key]
        case 1 if isinstance(container, dict):
            container[f"{key}x"] = container.pop(key)
        case 2:
            other, place = places[rng.integers(len(places))]
            other[place] = json.loads(json.dumps(container[key]))
        case _:
            container[key] = ODD[rng.integers(len(ODD))]
    files[name] = json.dumps(parsed).encode()


def relabel(files, rng):
    """Let the header of an array file lie about a type, a shape, an offset, or its own length."""
    name = pick(rng, [name for name in files if name.endswith(".safetensors")])
    length = struct.unpack("<Q", files[name][:8])[0]
    header, body = json.loads(files[name][8 : 8 + length]), files[name][8 + length :]
    tensor = header[pick(rng, header)]
    match rng.integers(6):
        case 0:
            tensor["dtype"] = ("F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "C64", "F8_E4M3", "O")[rng.integers(10)]
        case 1:
            tensor["shape"] = [2**40, 2**20][: rng.integers(1, 3)]
        case 2:
            tensor["data_offsets"] = [0, 2 ** int(rng.integers(1, 62))]
        case 3:
            tensor["shape"] = [1, *tensor["shape"]]
        case 4:
            tensor["shape"], tensor["data_offsets"] = [0, 2**62], [0, 0]
        case _:
            files[name] = struct.pack("<Q", 2 ** int(rng.integers(8, 63))) + files[name][8:]
            return
    header = json.dumps(header).encode()
    files[name] = struct.pack("<Q", len(header)) + header + body


def rewrite(files, rng):
    """Replace an array: by NaN, other bytes, another shape or type, the other byte order, or what was never an estimator."""
    name = pick(rng, [name for name in files if name.endswith(".safetensors")])
    arrays = dict(safetensors.numpy.load(files[name]))
    key = pick(rng, arrays)
    array = arrays[key].copy()
    match rng.integers(9):
        case 0 if array.dtype.kind == "f" and array.size:
            array.flat[rng.integers(array.size)] = (math.nan, math.inf)[rng.integers(2)]
        case 1:
            array = array.byteswap()
        case 2:
            array = array[..., :-1] if array.ndim else array[None]
        case 3:
            array = array.T.copy()
        case 4:
            array = array.astype(np.float32 if array.dtype == np.float64 else np.float64)
        case 5:
            array = np.concatenate([array, array]) if array.ndim else array
        case 6 if array.dtype == np.uint8:
            array = np.frombuffer(pickle.dumps(Harm()), dtype=np.uint8)
        case 7 if array.dtype == np.uint8:
            array = np.frombuffer(bomb(), dtype=np.uint8)
        case _:
            spoilt = bytearray(array.tobytes())
            for place in rng.integers(max(len(spoilt), 1), size=4) if spoilt else []:
                spoilt[place] = rng.integers(256)
            array = np.frombuffer(bytes(spoilt), dtype=array.dtype).reshape(array.shape)
    arrays[key] = np.ascontiguousarray(array)
    files[name] = safetensors.numpy.save(arrays)


def bomb():
    """Return an archive of a few KiB that unfolds to 64 MiB."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"[" * (64 << 20))
    return content.getvalue()


def seal(files):
    """Make the manifest vouch for the files as they are, as a forger would; where that is still possible."""
    try:
        head = json.loads(files[MANIFEST])
        head["files"] = {name: _seal(files.get(name, b"")) for name in head["files"]}
        del head["checksum"]
        files[MANIFEST] = json.dumps(head | {"checksum": _checksum(head)}).encode()
    except (KeyError, TypeError, ValueError, AttributeError):
        return


WAYS = (flip, cut, swap, drop, add, pickled, edit, relabel, rewrite)


def answer(folder):
    """Load an artefact and forecast with it: the message with which it is refused, or the forecast."""
    try:
        return None, ensemble_forecast.load(folder).predict(history())
    except BadInput as refusal:
        return str(refusal), None


def check(number, folder):
    """Spoil an artefact in the way of a number, and demand: refused in one line, or loaded and forecasting as before; and nothing executed.

    What a forger sealed anew may forecast something else, for who can write the folder can write any weights; but it is a forecast, or refused.
    """
    rng = np.random.default_rng(number)
    files, forecast = dict(sound()[0]), sound()[1]
    way = WAYS[number % len(WAYS)]
    way(files, rng)
    sealed = way in (edit, relabel, rewrite) and rng.random() < 0.7
    if sealed:
        seal(files)
    (folder / "art").mkdir()
    for name, content in files.items():
        (folder / "art" / name).write_bytes(content)
    before = len(EXECUTED)
    message, found = answer(folder / "art")
    assert EXECUTED[before:] == [], f"{way.__name__} made loading execute something"
    assert not Path("harmed").exists()
    if message is not None:
        assert "\n" not in message, f"a message of several lines: {message}"
        assert len(message) > 20
        return "refused"
    assert list(found) == list(forecast)
    if sealed:
        return "sealed anew"
    assert found.equals(forecast), f"{way.__name__}: it loads, and forecasts something else"
    return "identical"

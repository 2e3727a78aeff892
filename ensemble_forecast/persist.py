"""Artefacts that execute nothing: learners and combiners as arrays (safetensors) and JSON, under a manifest that vouches for every byte.

A folder holds, for each part, ``<name>.json`` (the structure, as ``encoding`` writes it) and, where it has arrays, ``<name>.safetensors``; and
``manifest.json`` with the format, its own checksum, and hash and size of every other file. The checks give integrity, not authenticity: whoever
can write the folder can also write a fitting manifest. Even then loading only ever constructs classes of ``registry.TABLES``, or those the
caller names, and no file is read that is larger than what is said of it, or than any artefact should be.

How a format changes
--------------------
`FORMAT` is what `save` writes, and `READERS` holds a reader for every format there ever was. To change it: raise `FORMAT` by one, give the old
reader a name of its own if it must differ, add the new one to `READERS`, and run ``tests/formats/make.py``, which writes the folder
``tests/formats/<FORMAT>`` that the tests load from then on; those of older formats are never written again. A format newer than `FORMAT` is
refused: upgrade. New fields of a learner need no new format; see ``encoding`` for the rule.
"""

import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable
from importlib.metadata import version
from os import getpid
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from ensemble_forecast import atomic
from ensemble_forecast.encoding import AGAIN, DTYPES, Decoder, Encoder
from ensemble_forecast.errors import BadInput

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_TYPES = {"format": int, "files": dict, "parts": list, "registry": list, "versions": dict, "manifest": dict}
PACKAGES = ("ensemble-forecast", "numpy", "safetensors", "scikit-learn", "skops", "torch", "xgboost")
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}")
MOST_JSON = 64 << 20  # bytes of a JSON file; 20 members of 100,000 series need 24 MiB
MOST_BYTES = 8 << 30  # bytes of all the files together

Head = dict[str, Any]
Parts = dict[str, Any]


def save(folder: Path, parts: dict[str, object], manifest: dict[str, Any]) -> None:
    """Write parts and a manifest to a folder in one atomic step; the same content gives the same bytes.

    Parameters
    ----------
    folder
        Where to; an older artefact there is replaced.
    parts
        Learners, combiners and calibrations by name (letters, digits, ``_ . -``). Attributes that begin with ``_`` are dropped.
    manifest
        What else to record, as plain JSON; hold no times in it. Tuples come back as lists.

    Raises
    ------
    BadInput
        When a value cannot be stored, or the folder holds something that is no artefact.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} exists and is not a saved ensemble: it would be lost; choose another folder")
    files: dict[str, bytes] = {}
    used: set[str] = set()
    for name, part in parts.items():
        _check_name(name, "the name of a part")
        writer = Encoder()
        files[f"{name}.json"] = _json_bytes(writer.encode(part, name))
        if writer.arrays:
            files[f"{name}.safetensors"] = safetensors.numpy.save(writer.arrays)
        used |= writer.classes
    if len({file.lower() for file in [*files, MANIFEST]}) <= len(files):
        raise BadInput(f"the names of parts must differ by more than case and not be 'manifest'; got {', '.join(parts)}")
    head = {
        "format": FORMAT,
        "files": {file: _seal(content) for file, content in files.items()},
        "parts": list(parts),
        "registry": sorted(used),
        "versions": {package: version(package) for package in PACKAGES},
        "manifest": manifest,
    }
    files[MANIFEST] = _json_bytes(head | {"checksum": _checksum(head)})
    beside = folder.with_name(f".{folder.name}.{getpid()}.saving")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        for file, content in files.items():
            (beside / file).write_bytes(content)
        atomic.commit_folder(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def load(folder: Path, allow: tuple[str, ...] = ()) -> tuple[Parts, dict[str, Any]]:
    """Read what `save` wrote: every file is checked before it is parsed, and nothing in it is executed.

    Parameters
    ----------
    allow
        Classes of your own that may be constructed, as ``"package.module:Class"``; they are imported, so name only what you trust.

    Returns
    -------
    the parts by name, and the manifest given to `save`.

    Raises
    ------
    BadInput
        When a file is missing, superfluous, changed, too large, or of a newer format; the message names it and the way out.
    """
    folder = Path(folder)
    head = _read_manifest(folder)
    return READERS[head["format"]](folder, head, tuple(allow)), head["manifest"]


def _read_1(folder: Path, head: Head, allow: tuple[str, ...]) -> Parts:
    """Read the parts of format 1."""
    total = 0
    for entry in sorted(folder.iterdir()):
        if entry.name not in head["files"] and entry.name != MANIFEST:
            raise BadInput(f"{entry} does not belong to this artefact (its manifest does not list it); remove the file")
        total += entry.lstat().st_size
    if total > MOST_BYTES:
        raise BadInput(f"{folder} holds {total} bytes; an artefact has at most {MOST_BYTES}: {AGAIN}")
    files = {name: _read_checked(folder, name, stated) for name, stated in head["files"].items()}
    parts = {}
    for name in head["parts"]:
        arrays = _parse_arrays(folder / f"{name}.safetensors", files.pop(f"{name}.safetensors", None))
        path = folder / f"{name}.json"
        if path.name not in files:
            raise BadInput(f"{folder / MANIFEST} names the part {name!r} but lists no {path.name}; {AGAIN}")
        parts[name] = Decoder(path, arrays, allow).part(_parse_json(path, files.pop(path.name)))
    if files:
        raise BadInput(f"{folder / sorted(files)[0]} belongs to no part; {AGAIN}")
    return parts


READERS: dict[int, Callable[[Path, Head, tuple[str, ...]], Parts]] = {1: _read_1}


def _read_manifest(folder: Path) -> Head:
    """Read and check the manifest, before any other file is looked at."""
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        raise BadInput(f"{folder} holds no saved ensemble: it has no {MANIFEST}; save one there, or correct the path")
    _refuse_long(path, path.stat().st_size)
    head = _parse_json(path, path.read_bytes())
    if not isinstance(head, dict) or type(head.get("format")) is not int:
        raise BadInput(f"{path} is not a manifest: it names no format; {AGAIN}")
    if head["format"] > FORMAT:
        raise BadInput(f"{path} has format {head['format']}, this package reads up to {FORMAT}; upgrade it: pip install -U ensemble-forecast")
    if head["format"] not in READERS:
        raise BadInput(f"{path} has format {head['format']}, which never was; {AGAIN}")
    stated = head.pop("checksum", None)
    if stated != _checksum(head):
        raise BadInput(f"{path} was changed after it was written: its checksum is wrong; {AGAIN}")
    if {key: type(value) for key, value in head.items()} != MANIFEST_TYPES:
        raise BadInput(f"{path} is not a manifest of format {head['format']}; {AGAIN}")
    for name in [*head["files"], *head["parts"]]:
        _check_name(name, f"a file name in {path}")
    return head


def _read_checked(folder: Path, name: str, stated: Any) -> bytes:
    """Read a file once, if it has the size it should have, and compare the hash of those very bytes with the manifest."""
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise BadInput(f"{path} is missing or not a plain file; {AGAIN}")
    size = path.stat().st_size
    if not isinstance(stated, dict) or stated.get("bytes") != size or stated != _seal(content := path.read_bytes()):
        raise BadInput(f"{path} ({size} bytes) is not what its manifest vouches for: truncated or changed; {AGAIN}")
    return content


def _parse_json(path: Path, content: bytes) -> Any:
    _refuse_long(path, len(content))
    try:
        return json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is truncated or not JSON ({error}); {AGAIN}") from error


def _refuse_constant(text: str) -> None:
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    """Read a number of JSON; one that no float can hold would come back as infinity."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large")
    return number


def _refuse_long(path: Path, size: int) -> None:
    """Refuse a JSON file that no artefact has: parsed, it takes many times its size."""
    if size > MOST_JSON:
        raise BadInput(f"{path} has {size} bytes; it may have at most {MOST_JSON}: {AGAIN}")


def _parse_arrays(path: Path, content: bytes | None) -> dict[str, np.ndarray]:
    if content is None:
        return {}
    try:
        arrays: dict[str, np.ndarray] = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:  # a key: a type of numbers that numpy does not have
        raise BadInput(f"{path} is not a safetensors file ({error}); {AGAIN}") from error
    if odd := sorted({array.dtype.name for array in arrays.values()} - set(DTYPES)):
        raise BadInput(f"{path} holds arrays of {', '.join(odd)}, which no artefact has; {AGAIN}")
    return arrays


def _check_name(name: Any, what: str) -> None:
    """Refuse names that could leave the folder or hide in it."""
    if not isinstance(name, str) or not PLAIN_NAME.fullmatch(name):
        raise BadInput(f"{what} must be plain (letters, digits, _ . -, no folders); got {name!r}")


def _seal(content: bytes) -> dict[str, Any]:
    """Hash and size of a file."""
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _checksum(head: dict[str, Any]) -> str:
    """Hash the manifest without its checksum, in the form that does not depend on white space."""
    return hashlib.sha256(json.dumps(head, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()

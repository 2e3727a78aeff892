"""Artefacts that execute nothing: learners and combiners as arrays (safetensors) and JSON, under a manifest that vouches for every byte.

A folder holds, for each part, ``<name>.json`` (the structure) and, where it has arrays, ``<name>.safetensors``; and ``manifest.json`` with the
format, its own checksum, and hash and size of every other file. The checks give integrity, not authenticity: whoever can write the folder can
also write a fitting manifest. Even then loading only ever constructs classes of ``registry.TABLES``, or those the caller names.

Every JSON object in a part's structure has a tag that says what it is; lists, strings, finite numbers, booleans and null stand for themselves::

    {"array": "0007", "order": "C"}     {"tuple": [...]}     {"dict": [[key, value], ...]}     {"float": "nan"}     {"number": 3, "dtype": "int64"}
    {"bytes": "0008"}     {"task": {...}}     {"object": "learners:ridge", "fields": {...}, "learnt": {...}}
"""

import hashlib
import importlib
import json
import re
import shutil
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from importlib.metadata import version
from os import getpid
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from ensemble_forecast import atomic
from ensemble_forecast.data.task import Task
from ensemble_forecast.errors import BadInput
from ensemble_forecast.registry import TABLES, did_you_mean, find

# To change the format: raise FORMAT by one; let `load` go on reading the old one, tested on a folder that the old code wrote, kept below tests/.
# Older packages need nothing: they refuse what is newer than they are.
FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_TYPES = {"format": int, "files": dict, "parts": list, "registry": list, "versions": dict, "manifest": dict}
PACKAGES = ("ensemble-forecast", "numpy", "safetensors", "scikit-learn", "torch", "xgboost")
DTYPES = ("bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}")
LEARNT_NAME = re.compile(r"[A-Za-z]\w*_")
AGAIN = "copy the whole folder again from where it was made, or make it again with: ensemble-forecast stack"


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
        writer = _Writer(name)
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


def load(folder: Path, allow: tuple[str, ...] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
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
        When a file is missing, superfluous, changed, or of a newer format; the message names it and the way out.
    """
    folder = Path(folder)
    head = _read_manifest(folder)
    for entry in sorted(folder.iterdir()):
        if entry.name not in head["files"] and entry.name != MANIFEST:
            raise BadInput(f"{entry} does not belong to this artefact (its manifest does not list it); remove the file")
    files = {name: _read_checked(folder, name, stated) for name, stated in head["files"].items()}
    parts = {}
    for name in head["parts"]:
        arrays = _parse_arrays(folder / f"{name}.safetensors", files.pop(f"{name}.safetensors", None))
        path = folder / f"{name}.json"
        if path.name not in files:
            raise BadInput(f"{folder / MANIFEST} names the part {name!r} but lists no {path.name}; {AGAIN}")
        parts[name] = _Reader(path, arrays, tuple(allow)).decode(_parse_json(path, files.pop(path.name)))
    if files:
        raise BadInput(f"{folder / sorted(files)[0]} belongs to no part; {AGAIN}")
    return parts, head["manifest"]


@dataclass
class _Writer:
    """Turns one part into tagged JSON, laying arrays aside."""

    part: str
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    classes: set[str] = field(default_factory=set)

    def encode(self, value: Any, where: str) -> Any:
        """Encode a value; `where` is its path, for messages."""
        if isinstance(value, np.generic) and value.dtype.name in DTYPES:
            return {"number": self.encode(value.item(), where), "dtype": value.dtype.name}
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if np.isfinite(value) else {"float": repr(value)}
        if isinstance(value, list):
            return [self.encode(item, f"{where}[{i}]") for i, item in enumerate(value)]
        if isinstance(value, tuple):
            return {"tuple": [self.encode(item, f"{where}[{i}]") for i, item in enumerate(value)]}
        if isinstance(value, dict):
            return {"dict": [[self.encode(key, where), self.encode(item, f"{where}[{key!r}]")] for key, item in value.items()]}
        if isinstance(value, bytes):
            return {"bytes": self._lay_aside(np.frombuffer(value, dtype=np.uint8))}
        if isinstance(value, np.ndarray) and value.dtype.name in DTYPES:
            return self._encode_array(np.asarray(value))
        if isinstance(value, Task):
            return {"task": {name: self.encode(item, where) for name, item in asdict(value).items()}}
        if is_dataclass(value) and not isinstance(value, type):
            return self._encode_object(value, where)
        kind = f"array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise BadInput(f"{where} is a {kind}, which cannot be saved; keep plain data in it, or name it with a leading underscore if it is a cache")

    def _encode_array(self, array: np.ndarray) -> dict[str, str]:
        """Keep the memory order too: matrix products round differently in the other one."""
        if array.flags.f_contiguous and not array.flags.c_contiguous:
            return {"array": self._lay_aside(array.T), "order": "F"}
        return {"array": self._lay_aside(array), "order": "C"}

    def _lay_aside(self, array: np.ndarray) -> str:
        key = f"{len(self.arrays):04d}"
        self.arrays[key] = array.astype(array.dtype.newbyteorder("="), order="C")
        return key

    def _encode_object(self, value: Any, where: str) -> dict[str, Any]:
        """Encode a learner or its kin: fields and what was learnt; caches are left behind."""
        searched = {item.name for item in fields(value)}
        learnt = {name for name in vars(value) if LEARNT_NAME.fullmatch(name)}
        for name in sorted(set(vars(value)) - searched - learnt):
            of_the_class = hasattr(type(value), name)  # set anew at birth, as a wrapper's kinds are, or cached
            if not (name.startswith("_") or of_the_class):
                raise BadInput(f"{where}.{name} is neither a field nor learnt state; end its name with an underscore, or begin it with one")
        name = _class_name(type(value))
        self.classes.add(name)
        return {
            "object": name,
            "fields": {key: self.encode(getattr(value, key), f"{where}.{key}") for key in sorted(searched)},
            "learnt": {key: self.encode(getattr(value, key), f"{where}.{key}") for key in sorted(learnt)},
        }


@dataclass
class _Reader:
    """Turns tagged JSON back into one part, constructing nothing but registered or allowed classes."""

    path: Path
    arrays: dict[str, np.ndarray]
    allow: tuple[str, ...]

    def decode(self, node: Any) -> Any:
        """Decode one node."""
        if isinstance(node, list):
            return [self.decode(item) for item in node]
        if not isinstance(node, dict):
            return node
        try:
            return self._decode_tagged(node)
        except BadInput:
            raise
        except (TypeError, AttributeError, KeyError, ValueError, OverflowError, RecursionError) as error:
            raise self._unreadable(f"a malformed node {sorted(node)} ({error})") from error

    def _decode_tagged(self, node: dict[str, Any]) -> Any:
        """Decode an object by its tag."""
        match node:
            case {"tuple": items}:
                return tuple(self.decode(item) for item in items)
            case {"dict": pairs}:
                return {self.decode(key): self.decode(item) for key, item in pairs}
            case {"float": text}:
                return float(text)
            case {"number": _, "dtype": _}:
                return self._decode_number(node)
            case {"bytes": key}:
                return self._array(key).tobytes()
            case {"array": key, "order": order}:
                return self._array(key).T if order == "F" else self._array(key)
            case {"task": named}:
                return Task(**{name: self.decode(item) for name, item in named.items()})
            case {"object": _, "fields": _, "learnt": _}:
                return self._decode_object(node)
        raise self._unreadable(f"an unknown node {sorted(node)}")

    def _decode_number(self, node: dict[str, Any]) -> Any:
        if node["dtype"] not in DTYPES:
            raise self._unreadable(f"a number of dtype {node['dtype']!r}")
        return np.dtype(node["dtype"]).type(self.decode(node["number"]))

    def _array(self, key: str) -> np.ndarray:
        if key not in self.arrays:
            raise self._unreadable(f"an array {key!r} that {self.path.stem}.safetensors does not hold")
        return self.arrays[key].copy()

    def _decode_object(self, node: dict[str, Any]) -> Any:
        cls = self._class(node["object"])
        searched = {item.name for item in fields(cls)}
        if set(node["fields"]) != searched:
            odd = sorted(searched.symmetric_difference(node["fields"]))
            raise BadInput(f"{self.path}: {node['object']} was saved by another version of this package: it differs in the fields {odd}; {AGAIN}")
        made = cls(**{name: self.decode(item) for name, item in node["fields"].items()})
        for name, item in node["learnt"].items():
            if not LEARNT_NAME.fullmatch(name):
                raise self._unreadable(f"learnt state named {name!r}")
            object.__setattr__(made, name, self.decode(item))
        return made

    def _class(self, name: str) -> Any:
        """Find a class by its registered name, or among those the caller allows."""
        table, _, key = name.partition(":")
        if table in TABLES:
            if key not in TABLES[table]:
                raise self._unreadable(f"{name!r}, which this package does not know; {did_you_mean(key, list(TABLES[table]))} Upgrade it, or")
            cls = find(key, table)
        elif name in self.allow:
            cls = getattr(importlib.import_module(table), key)
        else:
            raise BadInput(f"{self.path} holds {name!r}, which is not part of this package; if you trust it: load(folder, allow=[{name!r}])")
        if not (isinstance(cls, type) and is_dataclass(cls)):
            raise self._unreadable(f"{name!r}, which is no learner or combiner")
        return cls

    def _unreadable(self, what: str) -> BadInput:
        return BadInput(f"{self.path} holds {what}; {AGAIN}")


def _class_name(cls: type) -> str:
    """Name a class as ``table:key`` when it is registered, else by its import string."""
    path = f"{cls.__module__}:{cls.__qualname__}"
    names = [f"{table}:{key}" for table, entries in TABLES.items() for key, entry in entries.items() if entry == path]
    return names[0] if names else path


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check the manifest, before any other file is looked at."""
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        raise BadInput(f"{folder} holds no saved ensemble: it has no {MANIFEST}; save one there, or correct the path")
    head = _parse_json(path, path.read_bytes())
    if not isinstance(head, dict) or not isinstance(head.get("format"), int):
        raise BadInput(f"{path} is not a manifest: it names no format; {AGAIN}")
    if head["format"] > FORMAT:
        raise BadInput(f"{path} has format {head['format']}, this package reads up to {FORMAT}; upgrade it: pip install -U ensemble-forecast")
    stated = head.pop("checksum", None)
    if stated != _checksum(head):
        raise BadInput(f"{path} was changed after it was written: its checksum is wrong; {AGAIN}")
    if {key: type(value) for key, value in head.items()} != MANIFEST_TYPES:
        raise BadInput(f"{path} is not a manifest of format {FORMAT}; {AGAIN}")
    for name in [*head["files"], *head["parts"]]:
        _check_name(name, f"a file name in {path}")
    return head


def _read_checked(folder: Path, name: str, stated: dict[str, Any]) -> bytes:
    """Read a file once, and compare hash and size of those very bytes with the manifest."""
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise BadInput(f"{path} is missing or not a plain file; {AGAIN}")
    content = path.read_bytes()
    if stated != _seal(content):
        raise BadInput(f"{path} ({len(content)} bytes) is not what its manifest vouches for: truncated or changed; {AGAIN}")
    return content


def _parse_json(path: Path, content: bytes) -> Any:
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is truncated or not JSON ({error}); {AGAIN}") from error


def _refuse_constant(text: str) -> None:
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError(f"{text} is not JSON")


def _parse_arrays(path: Path, content: bytes | None) -> dict[str, np.ndarray]:
    if content is None:
        return {}
    try:
        return safetensors.numpy.load(content)
    except safetensors.SafetensorError as error:
        raise BadInput(f"{path} is not a safetensors file ({error}); {AGAIN}") from error


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

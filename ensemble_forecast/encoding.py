"""One part of an artefact as tagged JSON, its arrays laid aside, and back again; nothing but registered or allowed classes is ever constructed.

Every JSON object has a tag that says what it is; lists, strings, finite numbers, booleans and null stand for themselves::

    {"array": "0007", "order": "C"}     {"tuple": [...]}     {"dict": [[key, value], ...]}     {"float": "nan"}     {"number": 3, "dtype": "int64"}
    {"bytes": "0008"}     {"task": {...}}     {"object": "learners:ridge", "fields": {...}, "learnt": {...}}
"""

import importlib
import re
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.errors import BadInput
from ensemble_forecast.registry import TABLES, did_you_mean, find

DTYPES = ("bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
LEARNT_NAME = re.compile(r"[A-Za-z]\w*_")
AGAIN = "copy the whole folder again from where it was made, or make it again with: ensemble-forecast stack"


@dataclass
class Encoder:
    """Turns one part into tagged JSON, laying arrays aside."""

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
            if not name.startswith("_"):
                raise BadInput(f"{where}.{name} is neither a field nor learnt state; end its name with an underscore, or begin it with one")
        name = _class_name(type(value))
        self.classes.add(name)
        return {
            "object": name,
            "fields": {key: self.encode(getattr(value, key), f"{where}.{key}") for key in sorted(searched)},
            "learnt": {key: self.encode(getattr(value, key), f"{where}.{key}") for key in sorted(learnt)},
        }


@dataclass
class Decoder:
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
        if node["learnt"] and hasattr(made, "revive"):  # it keeps foreign objects as bytes: they are rebuilt here, where it is known what may be
            made.revive(self.allow)
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

"""One part of an artefact as tagged JSON, its arrays laid aside, and back again; nothing but registered or allowed classes is ever constructed.

Every JSON object has a tag that says what it is; lists, strings, finite numbers, booleans and null stand for themselves::

    {"array": "0007", "order": "C"}     {"tuple": [...]}     {"dict": [[key, value], ...]}     {"float": "nan"}     {"number": 3, "dtype": "int64"}
    {"bytes": "0008"}     {"task": {...}}     {"object": "learners:ridge", "fields": {...}, "learnt": {...}}

What is read is believed in nothing: classes come from the registry or are named by whoever loads, fields must have the types of their
annotations, arrays in what was learnt must be finite (a class constant ``incomplete`` names those that may not be), and each array may be used
once, so that a small file cannot ask for much memory. A class with a method ``revive(allow)`` then checks what only it can know.

A recipe that gains a field need not change the format. The class then says in ``ABSENT``, a dict, which value an older file stands for: the one
that reproduces what the class did before, which need not remain the default. A field that is missing and not named there is refused, and so is
one that the class does not know: another version wrote it, and guessing would change forecasts in silence.
"""

import importlib
import re
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pydantic

from ensemble_forecast.data.task import Task
from ensemble_forecast.errors import BadInput
from ensemble_forecast.registry import TABLES, did_you_mean, find

DTYPES = ("bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
LEARNT_NAME = re.compile(r"[A-Za-z]\w*_")
MALFORMED = (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)  # torch: RuntimeError
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
        for name in sorted(learnt - set(getattr(value, "incomplete", ()))):
            if not _is_finite(getattr(value, name)):
                raise BadInput(f"{where}.{name} holds NaN or infinity: nothing can be forecast with it; fit it again, on other data or more gently")
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

    def part(self, node: Any) -> Any:
        """Decode a whole part; every array that was laid aside must have its place in it."""
        try:
            decoded = self._decode(node)
        except RecursionError as error:
            raise self._unreadable("nodes nested too deeply") from error
        if self.arrays:
            raise self._unreadable(f"no place for the arrays {sorted(self.arrays)[:3]}")
        return decoded

    def _decode(self, node: Any) -> Any:
        """Decode one node."""
        if isinstance(node, list):
            return [self._decode(item) for item in node]
        if not isinstance(node, dict):
            return node
        try:
            return self._decode_tagged(node)
        except BadInput:
            raise
        except MALFORMED as error:
            raise self._unreadable(f"a malformed node {sorted(node)} ({error})") from error

    def _decode_tagged(self, node: dict[str, Any]) -> Any:
        """Decode an object by its tag."""
        match node:
            case {"tuple": items}:
                return tuple(self._decode(item) for item in items)
            case {"dict": pairs}:
                return {self._decode(key): self._decode(item) for key, item in pairs}
            case {"float": text}:
                return float(text)
            case {"number": _, "dtype": _}:
                return self._decode_number(node)
            case {"bytes": key}:
                return self._array(key).tobytes()
            case {"array": key, "order": "C" | "F" as order}:
                return self._array(key).T if order == "F" else self._array(key)
            case {"task": named}:
                return Task(**self._typed(Task, "task", {name: self._decode(item) for name, item in named.items()}))
            case {"object": _, "fields": _, "learnt": _}:
                return self._decode_object(node)
        raise self._unreadable(f"an unknown node {sorted(node)}")

    def _decode_number(self, node: dict[str, Any]) -> Any:
        if node["dtype"] not in DTYPES:
            raise self._unreadable(f"a number of dtype {node['dtype']!r}")
        value = self._decode(node["number"])
        if not isinstance(value, bool | int | float):
            raise self._unreadable(f"a number that is {value!r}")
        return np.dtype(node["dtype"]).type(value)

    def _array(self, key: str) -> np.ndarray:
        if key not in self.arrays:
            raise self._unreadable(f"an array {key!r} that {self.path.stem}.safetensors does not hold, or a second use of it")
        return self.arrays.pop(key).copy()

    def _decode_object(self, node: dict[str, Any]) -> Any:
        cls = self._class(node["object"])
        searched = {item.name for item in fields(cls)}
        given = {name: self._decode(item) for name, item in node["fields"].items()}
        stated = getattr(cls, "ABSENT", {}) | given
        if odd := sorted(searched.symmetric_difference(stated)):
            raise BadInput(
                f"{self.path}: {node['object']} was saved by another version of this package: it differs in the fields {odd}; upgrade the package "
                f"(pip install -U ensemble-forecast), or {AGAIN}"
            )
        made = cls(**self._typed(cls, node["object"], stated))
        for name, item in node["learnt"].items():
            if not LEARNT_NAME.fullmatch(name):
                raise self._unreadable(f"learnt state named {name!r}")
            value = self._decode(item)
            if name not in getattr(cls, "incomplete", ()) and not _is_finite(value):
                raise self._unreadable(f"NaN or infinity in {name} of {node['object']}, with which nothing can be forecast")
            object.__setattr__(made, name, value)
        if node["learnt"] and hasattr(made, "revive"):  # it keeps foreign objects as bytes: they are rebuilt here, where it is known what may be
            made.revive(self.allow)
        return made

    def _typed(self, cls: type, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """Refuse values that are not of the types a class declares for its fields."""
        plain = {key: value.item() if isinstance(value, np.generic) else value for key, value in values.items()}
        try:
            _declared(cls).model_validate(plain, strict=True)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            raise self._unreadable(f"{name} with {'.'.join(map(str, first['loc']))} = {first['input']!r}: {first['msg']}") from error
        return values

    def _class(self, name: str) -> Any:
        """Find a class by its registered name, or among those the caller allows."""
        table, _, key = name.partition(":")
        if table in TABLES:
            if key not in TABLES[table]:
                raise self._unreadable(f"{name!r}, which this package does not know; {did_you_mean(key, list(TABLES[table]))} Upgrade it, or")
            cls = find(key, table)
        elif name in self.allow:
            try:
                cls = getattr(importlib.import_module(table), key)
            except (ImportError, AttributeError) as error:
                raise BadInput(f"{self.path} holds {name!r}, which is allowed and cannot be imported ({error}); install what defines it") from error
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


@lru_cache(maxsize=256)
def _declared(cls: type) -> type[pydantic.BaseModel]:
    """Make what checks the fields of a dataclass against their annotations."""
    hints = get_type_hints(cls)
    lenient = pydantic.ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())
    declared: dict[str, Any] = {item.name: (hints[item.name], ...) for item in fields(cls)}
    return pydantic.create_model(cls.__name__, __config__=lenient, **declared)


def _is_finite(value: Any) -> bool:
    """Whether every array in plain data is free of NaN and infinity; objects in it answer for themselves."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind != "f" or bool(np.isfinite(value).all())
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(_is_finite, value))

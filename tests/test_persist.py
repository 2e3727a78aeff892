import hashlib
import json
import math
import os
import shutil
import sys
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest

from ensemble_forecast import persist, registry
from ensemble_forecast.data.task import Task
from ensemble_forecast.errors import BadInput


@dataclass(kw_only=True)
class Toy:
    family: ClassVar[str] = "toy"
    incomplete: ClassVar[tuple[str, ...]] = ("state_",)
    lags: tuple[int, ...] = (1, 7)
    rate: float = 0.1
    inner: Any = None


@dataclass(kw_only=True)
class Stranger:
    family: ClassVar[str] = "stranger"
    depth: int = 3
    born: list = field(default_factory=list)


OWN = f"{__name__}:Stranger"


@pytest.fixture(autouse=True)
def toy_is_registered(monkeypatch):
    monkeypatch.setitem(registry.LEARNERS, "toy", f"{__name__}:Toy")


def every_kind_of_value():
    rng = np.random.default_rng(0)
    return {
        "float64": rng.normal(size=(3, 4)),
        "float32": rng.normal(size=(2, 3, 4)).astype(np.float32),
        "ints": np.arange(5, dtype=np.int64),
        "int32": np.arange(4, dtype=np.int32),
        "bytes": np.arange(250, 256).astype(np.uint8),
        "bool": np.array([True, False, True]),
        "zero_d": np.array(2.5),
        "empty": np.empty((0, 3)),
        "odd_floats": np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324]),
        "fortran": np.asfortranarray(rng.normal(size=(3, 5))),
        "strided": rng.normal(size=(6, 4))[::2, 1:3],
        "scalars": [np.float32(0.1), np.float64(1 / 3), np.int64(-3), np.bool_(True), np.float64(np.nan)],
        "numbers": [0.1 + 0.2, 1e308, -0.0, 7, True, None, math.nan, math.inf, -math.inf, 2**70],
        "text": ["a", "", "ü\n\u2028", "\U0001f600"],
        "keys": {1: "int", "1": "str", (2, 3): "tuple", None: 0, 1.5: []},
        "looks_tagged": {"array": "0000", "order": "C"},
        "raw": b"\x00\xff booster",
        "task": Task(horizon=3, quantiles=(0.25, 0.5, 0.75), kind="direction", seed=9),
        "nested": (1, (2.0, [3, (4,)]), {}),
    }


def fitted_toy():
    toy = Toy(lags=(1, 2), rate=0.3, inner=Toy(rate=1e-5))
    toy.state_ = every_kind_of_value()
    toy.members_ = [Toy(), Toy(inner=(Toy(), Toy(rate=math.inf)))]
    toy.members_[0].weight_Q_ = np.array([0.5, 0.5])
    toy._cache = object()
    return toy


def assert_same(left, right, where="part"):
    """Equal in type, bits, memory order and structure: the obvious way, walking both."""
    assert type(left) is type(right), where
    if isinstance(left, np.ndarray):
        assert left.dtype == right.dtype, where
        assert left.shape == right.shape, where
        assert left.tobytes() == right.tobytes(), where
        assert left.flags.f_contiguous == right.flags.f_contiguous or not left.flags.contiguous, where
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for i, (one, other) in enumerate(zip(left, right, strict=True)):
            assert_same(one, other, f"{where}[{i}]")
    elif isinstance(left, dict):
        assert list(left) == list(right), where
        for key, value in left.items():
            assert_same(value, right[key], f"{where}[{key!r}]")
    elif isinstance(left, float | np.floating):
        assert np.asarray(left).tobytes() == np.asarray(right).tobytes(), where
    elif isinstance(left, Toy):
        kept = {name: value for name, value in vars(left).items() if not name.startswith("_")}
        assert_same(dict(sorted(kept.items())), dict(sorted(vars(right).items())), where)
    else:
        assert left == right, where


@pytest.fixture
def folder(tmp_path):
    persist.save(tmp_path / "art", {"toy": fitted_toy(), "plain": Toy()}, {"weights": [0.25, 0.75], "name": "btc", "series": {"a": 1}})
    return tmp_path / "art"


def test_everything_comes_back_bit_by_bit(folder):
    parts, manifest = persist.load(folder)
    assert list(parts) == ["toy", "plain"]
    assert_same(fitted_toy(), parts["toy"])
    assert_same(Toy(), parts["plain"])
    assert manifest == {"weights": [0.25, 0.75], "name": "btc", "series": {"a": 1}}


def test_caches_are_left_behind_and_arrays_are_writable(folder):
    toy = persist.load(folder)[0]["toy"]
    assert not hasattr(toy, "_cache")
    toy.state_["ints"][0] = 5


def test_the_same_content_gives_the_same_bytes(folder, tmp_path):
    persist.save(tmp_path / "again", {"toy": fitted_toy(), "plain": Toy()}, {"series": {"a": 1}, "name": "btc", "weights": [0.25, 0.75]})
    parts, manifest = persist.load(folder)
    persist.save(tmp_path / "reloaded", parts, manifest)
    for name in ("again", "reloaded"):
        assert {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_saving_replaces_an_older_artefact_and_leaves_nothing_beside_it(folder):
    persist.save(folder, {"other": Toy(rate=2.0)}, {})
    parts, manifest = persist.load(folder)
    assert (list(parts), manifest) == (["other"], {})
    assert [path.name for path in folder.parent.iterdir()] == ["art"]


def test_a_folder_of_other_things_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="not a saved ensemble"):
        persist.save(tmp_path, {"toy": Toy()}, {})
    assert (tmp_path / "thesis.txt").exists()


def test_a_failed_save_leaves_the_old_artefact_and_no_debris(folder):
    toy = Toy()
    toy.thing_ = {1, 2}
    with pytest.raises(BadInput, match=r"toy\.thing_ is a set"):
        persist.save(folder, {"toy": toy}, {})
    assert list(persist.load(folder)[0]) == ["toy", "plain"]
    assert [path.name for path in folder.parent.iterdir()] == ["art"]


def test_state_under_a_wrong_name_is_refused_not_lost(tmp_path):
    toy = Toy()
    toy.coefficients = np.ones(3)
    with pytest.raises(BadInput, match=r"toy\.coefficients is neither a field nor learnt"):
        persist.save(tmp_path / "art", {"toy": toy}, {})


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "manifest", "ü", "a\x00b"])
def test_a_part_needs_a_plain_name(tmp_path, name):
    with pytest.raises(BadInput, match="name"):
        persist.save(tmp_path / "art", {name: Toy()}, {})


def reseal(folder, change=dict.copy):
    """Write a manifest that fits the folder's files, as a forger would, after a change."""
    path = folder / "manifest.json"
    head = json.loads(path.read_text())
    del head["checksum"]
    for name in head["files"]:
        if (folder / name).is_file():
            content = (folder / name).read_bytes()
            head["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    change(head)
    sum_ = hashlib.sha256(json.dumps(head, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    path.write_text(json.dumps(head | {"checksum": sum_}))


def edit(name, old, new, *, sealed):
    """A tampering that replaces bytes in a file, with or without a manifest to match."""

    def tamper(folder):
        content = (folder / name).read_bytes()
        assert old in content
        (folder / name).write_bytes(content.replace(old, new, 1))
        if sealed:
            reseal(folder)

    return tamper


def cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-3])


def link_away(folder):
    outside = folder.parent / "outside.json"
    shutil.move(folder / "toy.json", outside)
    (folder / "toy.json").symlink_to(outside)


def listing(name):
    """A forged manifest that lists one more file, of that name."""
    return lambda folder: reseal(folder, lambda head: head["files"].update({name: {"sha256": "0" * 64, "bytes": 1}}))


def flip_a_bit(folder):
    content = bytearray((folder / "toy.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "toy.safetensors").write_bytes(content)


def forge(old, new):
    return edit("plain.json", old, new, sealed=True)


TAMPERINGS = {
    "truncated arrays": (cut("toy.safetensors"), "toy.safetensors"),
    "truncated structure": (cut("toy.json"), "toy.json"),
    "truncated manifest": (cut("manifest.json"), "manifest.json"),
    "one bit flipped": (flip_a_bit, "toy.safetensors"),
    "a number changed": (edit("plain.json", b"0.1", b"0.2", sealed=False), "plain.json"),
    "the manifest changed": (edit("manifest.json", b"0.25", b"0.99", sealed=False), "checksum is wrong"),
    "NaN in the manifest": (edit("manifest.json", b"0.25", b"NaN", sealed=False), "NaN is not JSON"),
    "a binary manifest": (lambda folder: (folder / "manifest.json").write_bytes(b"\xff\xfe\x00"), "not JSON"),
    "a list for a manifest": (lambda folder: (folder / "manifest.json").write_text("[1]"), "names no format"),
    "a bottomless manifest": (lambda folder: (folder / "manifest.json").write_text("[" * 100_000), "not JSON"),
    "an emptied manifest": (lambda folder: reseal(folder, lambda head: head.pop("files")), "not a manifest of format"),
    "a newer format": (lambda folder: reseal(folder, lambda head: head.update(format=persist.FORMAT + 1)), "upgrade"),
    "a missing file": (lambda folder: (folder / "toy.safetensors").unlink(), "toy.safetensors is missing"),
    "a missing manifest": (lambda folder: (folder / "manifest.json").unlink(), "no saved ensemble"),
    "a missing folder": (shutil.rmtree, "no saved ensemble"),
    "an extra file": (lambda folder: (folder / "evil.py").write_text("boom"), "evil.py does not belong"),
    "a folder inside": (lambda folder: (folder / "more").mkdir(), "more does not belong"),
    "a link to outside": (link_away, "not a plain file"),
    "a path up": (listing("../outside.json"), "must be plain"),
    "an absolute path": (listing("/etc/passwd"), "must be plain"),
    "an empty name": (listing(""), "must be plain"),
    "a listed file of no part": (listing("plain.safetensors"), "plain.safetensors is missing"),
    "a part without a file": (lambda folder: reseal(folder, lambda head: head["parts"].append("ghost")), "ghost"),
    "a part left out": (lambda folder: reseal(folder, lambda head: head["parts"].remove("plain")), "belongs to no part"),
    "an unknown family": (forge(b"learners:toy", b"learners:tou"), "did you mean 'toy'"),
    "a class of the standard library": (forge(b"learners:toy", b"subprocess:Popen"), "not part of this package"),
    "a registered function": (forge(b"learners:toy", b"metrics:sql"), "no learner or combiner"),
    "an unknown field": (forge(b'"rate"', b'"fate"'), "differs in the fields"),
    "an unknown node": (forge(b'"tuple"', b'"eval"'), "unknown node"),
    "a malformed node": (forge(b'{\n   "tuple": [\n    1,\n    7\n   ]\n  }', b'{"tuple": 3}'), "malformed node"),
    "an array that is not there": (forge(b"0.1", b'{"array": "0099", "order": "C"}'), "does not hold"),
    "a dtype that runs code": (forge(b"0.1", b'{"number": 1, "dtype": "object"}'), "dtype 'object'"),
    "learnt state that shadows a method": (forge(b'"learnt": {}', b'"learnt": {"__class__": 1}'), "learnt state named"),
    "arrays that are none": (edit("toy.safetensors", b'"0000"', b'"00\xff0"', sealed=True), "not a safetensors file"),
}


@pytest.mark.parametrize("case", TAMPERINGS)
def test_a_tampered_artefact_is_refused(folder, case):
    tamper, message = TAMPERINGS[case]
    tamper(folder)
    with pytest.raises(BadInput, match=message) as caught:
        persist.load(folder)
    assert str(folder) in str(caught.value) or "manifest" in str(caught.value)


def test_a_stranger_loads_only_when_named(tmp_path):
    persist.save(tmp_path / "art", {"net": Stranger(depth=5)}, {})
    with pytest.raises(BadInput, match=r"Stranger.*allow="):
        persist.load(tmp_path / "art")
    with pytest.raises(BadInput, match="not part of this package"):
        persist.load(tmp_path / "art", allow=(OWN + "s",))
    assert persist.load(tmp_path / "art", allow=(OWN,))[0]["net"].depth == 5


def test_nothing_is_imported_for_a_name_that_is_not_allowed(folder):
    forge(b"learners:toy", b"antigravity:Toy")(folder)
    with pytest.raises(BadInput, match="not part of this package"):
        persist.load(folder)
    assert "antigravity" not in sys.modules


def test_a_loaded_artefact_may_be_moved(folder, tmp_path):
    shutil.move(folder, tmp_path / "elsewhere")
    assert_same(fitted_toy(), persist.load(tmp_path / "elsewhere")[0]["toy"])


def test_a_field_that_an_older_file_lacks_reads_what_it_stood_for(folder, monkeypatch):
    path = folder / "plain.json"
    node = json.loads(path.read_text())
    del node["fields"]["rate"]
    path.write_text(json.dumps(node))
    reseal(folder)
    with pytest.raises(BadInput, match=r"differs in the fields \['rate'\]"):
        persist.load(folder)
    monkeypatch.setattr(Toy, "ABSENT", {"rate": 0.7}, raising=False)
    parts, _ = persist.load(folder)
    assert parts["plain"].rate == 0.7, "not the default, which may have changed since"
    assert parts["toy"].rate == 0.3, "what a file says counts"


def test_the_fields_of_every_class_must_have_the_types_it_declares(folder):
    forge(b'"rate": 0.1', b'"rate": "0.1"')(folder)
    with pytest.raises(BadInput, match=r"rate = '0.1'.*valid number"):
        persist.load(folder)


def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(folder):
    toy = Toy()
    toy.weights_ = {"layer": [np.array([1.0, np.nan])]}
    with pytest.raises(BadInput, match=r"weights_ holds NaN"):
        persist.save(folder, {"toy": toy}, {})
    toy.weights_["layer"][0][1] = 2.0
    persist.save(folder, {"toy": toy}, {})
    arrays = folder / "toy.safetensors"
    arrays.write_bytes(arrays.read_bytes().replace(np.float64(2.0).tobytes(), np.float64(np.nan).tobytes()))
    reseal(folder)
    with pytest.raises(BadInput, match="NaN or infinity in weights_ of learners:toy"):
        persist.load(folder)


def test_a_file_is_not_read_when_it_is_longer_than_vouched_for(folder, monkeypatch):
    """A sparse file of 1 TiB takes no place on the disk, and would take it in memory."""
    os.truncate(folder / "toy.safetensors", 1 << 40)
    with pytest.raises(BadInput, match="an artefact has at most"):
        persist.load(folder)
    monkeypatch.setattr(persist, "MOST_BYTES", 1 << 62)
    with pytest.raises(BadInput, match=r"1099511627776 bytes\) is not what its manifest vouches for"):
        persist.load(folder)
    os.truncate(folder / "manifest.json", 1 << 40)
    with pytest.raises(BadInput, match=r"manifest.json has 1099511627776 bytes; it may have at most"):
        persist.load(folder)


def test_a_format_that_never_was_is_refused(folder):
    for number in (0, -1, True):
        reseal(folder, lambda head, number=number: head.update(format=number))
        with pytest.raises(BadInput, match=r"never was|names no format"):
            persist.load(folder)


def test_an_array_is_used_once_so_that_a_small_file_asks_for_little_memory(folder):
    forge(b'"inner": null', b'"inner": [%s]' % b", ".join([b'{"array": "0000", "order": "C"}'] * 3))(folder)
    shutil.copy(folder / "toy.safetensors", folder / "plain.safetensors")
    reseal(folder, lambda head: head["files"].update({"plain.safetensors": head["files"]["toy.safetensors"]}))
    with pytest.raises(BadInput, match="a second use of it"):
        persist.load(folder)


def test_an_array_without_a_place_is_refused(folder):
    shutil.copy(folder / "toy.safetensors", folder / "plain.safetensors")
    reseal(folder, lambda head: head["files"].update({"plain.safetensors": head["files"]["toy.safetensors"]}))
    with pytest.raises(BadInput, match="no place for the arrays"):
        persist.load(folder)

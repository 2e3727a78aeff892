import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ensemble_forecast import atomic
from ensemble_forecast.errors import BadInput, Unfinished
from ensemble_forecast.store import LEDGER_FIELDS, RunFolder

HOLD = (
    "import sys, time; from ensemble_forecast.store import RunFolder\nwith RunFolder(sys.argv[1]).lock(): print('held', flush=True); time.sleep(60)"
)


def line(**known):
    usual = {"id": "naive-0001", "state": "finished", "seconds": 1.0, "started": "2026-01-01T00:00:00.000+00:00"}
    return {name: (usual | known).get(name) for name in LEDGER_FIELDS}


@pytest.fixture
def run_folder(tmp_path):
    return RunFolder(tmp_path / "study")


@pytest.fixture
def holder(run_folder):
    """Another process that holds the run."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(run_folder.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def commit(run_folder, id="naive-0001"):
    forecasts = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    origins = np.array([[0, 5, 0], [0, 6, 0]])
    run_folder.commit(id, {"family": "naive", "params": {}}, forecasts, origins, {"value": 0.5})
    return forecasts, origins


def test_a_candidate_comes_back_as_it_was_committed(run_folder):
    forecasts, origins = commit(run_folder)
    (candidate,) = run_folder.candidates()
    assert (candidate.id, candidate.config, candidate.report) == ("naive-0001", {"family": "naive", "params": {}}, {"value": 0.5})
    assert isinstance(candidate.forecasts_NHQ, np.memmap)
    assert candidate.forecasts_NHQ.dtype == np.float32
    np.testing.assert_array_equal(candidate.forecasts_NHQ, forecasts)
    np.testing.assert_array_equal(candidate.origins_N3, origins)


def test_a_half_written_candidate_is_never_seen_and_is_swept(run_folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "commit_folder", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            commit(run_folder)
    assert list(run_folder.work.glob("commit-*"))
    assert run_folder.candidates() == []
    with run_folder.lock():
        assert not list(run_folder.work.glob("commit-*"))
    commit(run_folder)
    assert run_folder.candidate_ids() == ["naive-0001"]


@pytest.mark.parametrize("torn", [b'{"id": "ridge-00', b'{"id": "ridge-00\n', b"\x00\x00\x00\n", b"{"])
def test_a_torn_last_line_is_left_out_and_cut_under_the_lock(run_folder, torn):
    with run_folder.lock():
        run_folder.append(line(id="naive-0001"))
    path = run_folder.path / "ledger.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert [entry["id"] for entry in run_folder.ledger()] == ["naive-0001"]
    with run_folder.lock():
        assert path.read_bytes() == whole
        run_folder.append(line(id="naive-0002"))
    assert [entry["id"] for entry in run_folder.ledger()] == ["naive-0001", "naive-0002"]


def test_a_ledger_that_only_holds_a_torn_line_is_empty(run_folder):
    with run_folder.lock():
        (run_folder.path / "ledger.jsonl").write_bytes(b'{"id"')
    assert run_folder.ledger() == []
    with run_folder.lock():
        assert (run_folder.path / "ledger.jsonl").read_bytes() == b""


def test_a_damaged_line_in_the_middle_is_refused_by_number(run_folder):
    with run_folder.lock():
        run_folder.append(line())
    path = run_folder.path / "ledger.jsonl"
    path.write_bytes(path.read_bytes() + b"junk\n" + path.read_bytes())
    with pytest.raises(BadInput, match="line 2"):
        run_folder.ledger()


def test_a_second_driver_is_refused_by_the_pid_of_the_first(run_folder, holder):
    with pytest.raises(BadInput, match=f"process {holder.pid}"), run_folder.lock():
        pass


def test_the_lock_of_a_killed_driver_is_taken_over(run_folder, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with run_folder.lock():
        assert (run_folder.work / "lock").read_text().split()[0] == str(os.getpid())


def test_the_lock_is_held_while_an_inherited_handle_lives_and_is_then_free(run_folder):
    with run_folder.lock(), run_folder.lock():
        orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"], pass_fds=(run_folder.lock_handle,))
    (run_folder.work / "lock").write_text("999999999")  # the driver is dead, its worker is not yet
    with RunFolder(run_folder.path).lock():
        assert orphan.poll() == 0


def test_spent_counts_the_union_of_the_trials_not_their_sum(run_folder):
    rng = np.random.default_rng(3)
    begun, seconds = rng.integers(0, 50, size=12), rng.integers(0, 9, size=12)
    with run_folder.lock():
        for start, duration in zip(begun, seconds, strict=True):
            run_folder.append(line(started=f"2026-01-01T00:00:{start:02d}.000+00:00", seconds=float(duration)))
    covered = {tick for start, duration in zip(begun, seconds, strict=True) for tick in range(start, start + duration)}
    assert run_folder.spent_s() == pytest.approx(len(covered))
    assert 0 < len(covered) < seconds.sum()


def test_an_empty_run_has_spent_nothing(run_folder):
    assert run_folder.spent_s() == 0


@pytest.mark.parametrize("write", ["append", "commit"])
def test_a_full_disk_is_said_so(run_folder, monkeypatch, write):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "append_line", full)
    monkeypatch.setattr(atomic, "write_json", full)
    with run_folder.lock(), pytest.raises(Unfinished, match=r"disk is full.*free some space"):
        run_folder.append(line()) if write == "append" else commit(run_folder)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("size", [10, 10**6])
def test_an_array_that_does_not_fit_is_a_full_disk_by_its_number(size):
    with pytest.raises(OSError, match="No space left") as refusal:
        atomic.write_array(Path("/dev/full"), np.zeros(size))
    assert refusal.value.errno == errno.ENOSPC


def test_other_errors_of_the_disk_pass_as_they_are(run_folder, monkeypatch):
    monkeypatch.setattr(atomic, "append_line", lambda *_: (_ for _ in ()).throw(PermissionError(errno.EACCES, "denied")))
    with run_folder.lock(), pytest.raises(PermissionError):
        run_folder.append(line())


def rewritten(name, change):
    """Return a change of an array file of a candidate."""

    def spoil(folder):
        array = np.load(folder / name)
        np.save(folder / name, change(array))

    return spoil


def lying_header(folder):
    """Let the origins be said to take 24 TB."""
    content = (folder / "origins.npy").read_bytes()
    assert b"(2, 3), }      " in content
    (folder / "origins.npy").write_bytes(content.replace(b"(2, 3), }            ", b"(1000000000000, 3), }", 1))


SPOILT = {
    "another byte order": rewritten("forecasts.npy", lambda array: array.astype(">f4")),
    "another type": rewritten("forecasts.npy", lambda array: array.astype(float)),
    "a lost axis": rewritten("forecasts.npy", lambda array: array[0]),
    "origins of other rows": rewritten("origins.npy", lambda array: array[:1]),
    "objects": lambda folder: np.save(folder / "origins.npy", np.array([{}]), allow_pickle=True),
    "a header that lies": lying_header,
    "a cut file": lambda folder: (folder / "forecasts.npy").write_bytes((folder / "forecasts.npy").read_bytes()[:-1]),
    "an empty file": lambda folder: (folder / "origins.npy").write_bytes(b""),
    "a record that is none": lambda folder: (folder / "report.json").write_text("[]"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_candidate_is_refused_with_the_way_out(run_folder, case):
    commit(run_folder)
    SPOILT[case](run_folder.path / "candidates/naive-0001")
    with pytest.raises(BadInput, match=r"damaged .* delete that folder"):
        run_folder.candidate("naive-0001")

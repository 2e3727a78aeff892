"""The run folder: one driver at a time, a ledger of every ended trial, and candidates that appear whole or not at all.

::

    runs/<study>/ledger.jsonl        one JSON line per ended trial; ledger-<host>-<pid>.jsonl of searches that share the study, see `ledger`
    runs/<study>/journal.log         Optuna's journal
    runs/<study>/candidates/<id>/    config.json, forecasts.npy, origins.npy, report.json: committed by one rename
    runs/<study>/.work/              what may be lost: lock, half-written candidates, panel, ids taken, trials begun, tracebacks
"""

import errno
import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_forecast import atomic, ledger
from ensemble_forecast.errors import BadInput, Unfinished
from ensemble_forecast.learners.base import Config
from ensemble_forecast.ledger import LEDGER_FIELDS, Line

LOOKS_TAKE_S = 0.3  # whoever asks whether the run is in use holds its lock for a moment
ORPHANS_END_WITHIN_S = 5.0  # workers of a killed driver hold its lock until they notice that their pipe is closed


@dataclass(frozen=True, eq=False)
class Candidate:
    """A finished trial: a config with its out-of-fold forecasts.

    Parameters
    ----------
    config
        What ``learners.base.build`` takes.
    report
        The ledger's line, and what a refit needs: ``refit`` (config with the lengths found), ``fit_origins``, ``unserved``.
    forecasts_NHQ
        float32, memory-mapped, in the target's unit.
    origins_N3
        int64: series, step, window of each row.
    """

    id: str
    config: Config
    report: dict[str, Any]
    forecasts_NHQ: np.ndarray
    origins_N3: np.ndarray


class RunFolder:
    """A run's files. Reading needs no lock; whoever writes the ledger or the journal holds it."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock_depth = 0
        self._lock_handle = -1
        self._own_ledger = self.path / ledger.ALONE

    @property
    def work(self) -> Path:
        """Folder of what may be lost."""
        return self.path / ".work"

    @property
    def journal_path(self) -> Path:
        """Where Optuna's journal lies, absolute."""
        return (self.path / "journal.log").resolve()

    @property
    def lock_handle(self) -> int:
        """Descriptor of the held lock: workers inherit it, so that no new driver begins while one of them still writes."""
        assert self._lock_depth, "the lock is not held"
        return self._lock_handle

    @contextmanager
    def lock(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the run: one driver at a time. May be nested within one object.

        Entering repairs what a killed driver left behind: a torn last line of a ledger and, alone, half-written candidates.

        Parameters
        ----------
        shared
            Let other searches that share the study through a storage hold the run too; what is appended goes to a ledger of this process's own.

        Raises
        ------
        BadInput
            When another process holds the run; the message names it.
        """
        if not self._lock_depth:
            self._lock_handle = self._acquire(shared)
            self._own_ledger = self.path / (ledger.own_name() if shared else ledger.ALONE)
        self._lock_depth += 1
        try:
            if self._lock_depth == 1:
                self._repair(shared)
            yield
        finally:
            self._lock_depth -= 1
            if not self._lock_depth:
                os.close(self._lock_handle)

    def is_running(self) -> bool:
        """Whether a process holds the run right now."""
        may_write = os.access(self.work / "lock", os.W_OK)  # without that, searches that share the run are not seen
        try:
            handle = os.open(self.work / "lock", os.O_RDWR if may_write else os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, (fcntl.LOCK_EX if may_write else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def ledger(self) -> list[Line]:
        """Read one line for every ended trial, oldest first; a torn last line is left out.

        Raises
        ------
        BadInput
            When a line before the last one is damaged.
        """
        return ledger.read(ledger.files(self.path))

    def ledger_bytes(self) -> int:
        """Bytes of all ledgers: as long as they stay, nobody has written a line."""
        return sum(path.stat().st_size for path in ledger.files(self.path))

    def append(self, line: Line) -> None:
        """Add one line to the ledger.

        Raises
        ------
        Unfinished
            When the disk is full.
        """
        assert tuple(line) == LEDGER_FIELDS, f"a ledger line has the fields {LEDGER_FIELDS}; got {tuple(line)}"
        with explaining_full_disk(self.path):
            atomic.append_line(self._own_ledger, json.dumps(line))

    def commit(self, id: str, config: Config, forecasts_NHQ: np.ndarray, origins_N3: np.ndarray, report: dict[str, Any]) -> None:
        """Put a candidate into the run in one step: its folder is complete or absent.

        Parameters
        ----------
        forecasts_NHQ
            float32.
        origins_N3
            int64: series, step, window.

        Raises
        ------
        Unfinished
            When the disk is full.
        """
        assert forecasts_NHQ.dtype == np.float32
        assert origins_N3.dtype == np.int64
        prepared = self.work / f"commit-{id}-{os.getpid()}"
        with explaining_full_disk(self.path):
            prepared.mkdir(parents=True)
            (self.path / "candidates").mkdir(exist_ok=True)
            atomic.write_array(prepared / "forecasts.npy", forecasts_NHQ)
            atomic.write_array(prepared / "origins.npy", origins_N3)
            atomic.write_json(prepared / "config.json", config)
            atomic.write_json(prepared / "report.json", report)
            atomic.commit_folder(prepared, self.path / "candidates" / id)

    def candidate_ids(self) -> list[str]:
        """Name the committed candidates, sorted."""
        return sorted(path.name for path in (self.path / "candidates").glob("[!.]*"))

    def has_candidate(self, id: str) -> bool:
        """Whether a candidate is committed."""
        return (self.path / "candidates" / id).exists()

    def drop(self, id: str) -> None:
        """Remove a candidate, if it is there, in one step: its trial was taken for dead, and runs again elsewhere."""
        if self.has_candidate(id):
            aside = self.work / f"commit-{id}-dropped"
            shutil.rmtree((self.path / "candidates" / id).rename(aside))

    def mark_begun(self, id: str) -> None:
        """Note that a worker has begun a trial: from here on, what dies may have died of it."""
        (self.work / "begun").mkdir(exist_ok=True)
        (self.work / "begun" / id).touch()

    def has_begun(self, id: str) -> bool:
        """Whether a worker has begun a trial."""
        return (self.work / "begun" / id).exists()

    def claim(self, id: str) -> bool:
        """Reserve an id among searches that share the run; whether it was free."""
        try:
            (self.work / "ids" / id).mkdir(parents=True)
        except FileExistsError:
            return False
        return True

    def candidate(self, id: str) -> Candidate:
        """Open one candidate; its forecasts stay on disk until they are read.

        Raises
        ------
        BadInput
            When its folder was damaged after it was committed.
        """
        folder = self.path / "candidates" / id
        try:
            candidate = Candidate(
                id=id,
                config=json.loads((folder / "config.json").read_text()),
                report=json.loads((folder / "report.json").read_text()),
                forecasts_NHQ=np.load(folder / "forecasts.npy", mmap_mode="r", allow_pickle=False),
                origins_N3=np.array(np.load(folder / "origins.npy", mmap_mode="r", allow_pickle=False)),  # mapped: no header's word for its size
            )
            _refuse_misshapen(candidate)
            return candidate
        except (EOFError, OSError, ValueError, TypeError) as error:
            raise BadInput(f"{folder} is damaged ({error}); delete that folder, and the next search runs its trial again") from error

    def candidates(self) -> list[Candidate]:
        """Open every candidate, sorted by id."""
        return [self.candidate(id) for id in self.candidate_ids()]

    def spent_s(self) -> float:
        """Wall seconds in which at least one trial of the ledger ran."""
        return ledger.spent_s(self.ledger())

    def _acquire(self, shared: bool) -> int:
        """Lock the lock file; wait a moment where its owner is dead, since its workers end by themselves."""
        self.work.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.work / "lock", os.O_RDWR | os.O_CREAT)
        begun = time.monotonic()
        while True:
            try:
                fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                owner, _, host = os.pread(handle, 300, 0).decode().partition(" ")
                patience_s = LOOKS_TAKE_S if host not in {"", socket.gethostname()} or _is_alive(owner) else ORPHANS_END_WITHIN_S
                if time.monotonic() < begun + patience_s:
                    time.sleep(0.05)
                    continue
                os.close(handle)
                raise BadInput(_in_use(self.path, owner, host)) from None
            os.ftruncate(handle, 0)
            os.pwrite(handle, b"" if shared else f"{os.getpid()} {socket.gethostname()}".encode(), 0)
            return handle

    def _repair(self, shared: bool) -> None:
        """Remove what a killed process left half-written; where others may be at work, of the own ledger alone."""
        if shared:
            ledger.cut_torn_line(self._own_ledger)
            return
        for leftover in (*self.work.glob("commit-*"), *self.work.glob("panel-*")):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        for path in ledger.files(self.path):
            ledger.cut_torn_line(path)


def _refuse_misshapen(candidate: Candidate) -> None:
    """Refuse arrays of other types, byte orders or shapes than `RunFolder.commit` writes, and records that are none."""
    forecasts_NHQ, origins_N3 = candidate.forecasts_NHQ, candidate.origins_N3
    if forecasts_NHQ.dtype != np.float32 or forecasts_NHQ.ndim != 3 or origins_N3.dtype != np.int64 or origins_N3.shape != (len(forecasts_NHQ), 3):
        found = f"{forecasts_NHQ.dtype.str}{forecasts_NHQ.shape} and {origins_N3.dtype.str}{origins_N3.shape}"
        raise ValueError(f"its forecasts and origins are {found}, not float32 (N, H, Q) and int64 (N, 3)")
    if not isinstance(candidate.config, dict) or not isinstance(candidate.report, dict):
        raise ValueError("its config or report is no record")


def _in_use(path: Path, owner: str, host: str) -> str:
    """Say who holds a run, and the way out."""
    if not owner:
        return f"{path} is in use by searches that share it through a --storage: wait until they have ended, or join them with the same --storage"
    return (
        f"{path} is in use by process {owner} on {host}: one driver at a time; wait for it, or stop it (kill {owner}), or take another --study name"
    )


@contextmanager
def explaining_full_disk(path: Path) -> Iterator[None]:
    """Turn the system's "no space left" into the message a user can act on; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise Unfinished(
            f"the disk is full: {path} could not be written. Every trial that ended before is kept; free some space, then run the same command again"
        ) from error


def _is_alive(pid: str) -> bool:
    """Whether a process with this id exists on this host."""
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True

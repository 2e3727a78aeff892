"""Worker processes: started with their thread variables set, ended by pid, replaced when they die."""

import contextlib
import itertools
import os
import selectors
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.errors import BadInput, Unfinished
from ensemble_forecast.memory import free_bytes, resident_bytes, total_bytes
from ensemble_forecast.search.crew import Crew
from ensemble_forecast.search.protocol import Inbox, Message, encode
from ensemble_forecast.search.worker import write_panel
from ensemble_forecast.store import RunFolder, explaining_full_disk

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
DEVICES = ("auto", "cpu", "cuda")
MOST_WORKERS = 8
STARTS = 3  # of a worker that something kills before it is ready
WORKERS_SHARE = 0.9  # of all memory, for the workers together; the rest is the driver's and the system's
LEAST_FREE_SHARE = 0.03  # of all memory: below, the largest worker is ended if it holds as much, before the system ends something else
RECYCLE_SHARE = 0.7  # of its share: a worker that holds as much after a trial makes room for a fresh one
_numbers = itertools.count()


@dataclass(eq=False)
class Seat:
    """A place for one worker process."""

    device: str
    process: "subprocess.Popen[bytes]"
    inbox: Inbox = field(default_factory=Inbox)
    job: Message | None = None
    ready: bool = False
    starts: int = 1
    since: float = field(default_factory=time.monotonic)


def default_workers() -> int:
    """One a core that this process may use, at most eight."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def has_cuda(device: str) -> bool:
    """Whether one worker is to use the GPU; looks for the driver, not for torch."""
    if device not in DEVICES:
        raise BadInput(f"device must be one of {', '.join(DEVICES)}; got {device!r}")
    return device == "cuda" or (device == "auto" and Path("/dev/nvidia0").exists())


class Pool(Crew):
    """Worker processes on this host.

    Parameters
    ----------
    n_workers
        None: see `default_workers`.
    run_folder
        Its lock must be held; the workers inherit it, so that it is free only when the last of them has ended.
    plan_spec
        Keyword arguments of `windows.plan`, from which every process cuts the same windows.
    metric
        Registered metric that trials are scored by.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``. With CUDA the first worker uses the GPU and says how many its memory serves; so many, but at most half
        of them, share it as they become free. The others keep to the CPU.
    memory
        Bytes for all of them together; None: the machine's.
    home
        Folder to start in, from which modules of the user's own are imported; None: that of this process.
    """

    def __init__(
        self,
        n_workers: int | None,
        run_folder: RunFolder,
        panel: Panel,
        task: Task,
        plan_spec: dict[str, Any],
        *,
        metric: str = "sql",
        device: str = "auto",
        memory: int | None = None,
        home: Path | None = None,
    ) -> None:
        n_workers = max(1, default_workers() if n_workers is None else n_workers)
        self._run, self._home = run_folder, home
        self._panel_path = run_folder.work / f"panel-{socket.gethostname()}-{os.getpid()}-{next(_numbers)}.npz"
        with explaining_full_disk(run_folder.path):
            write_panel(self._panel_path, panel)
        self._setting = {
            "panel": str(self._panel_path.resolve()),
            "run": str(run_folder.path.resolve()),
            "task": asdict(task),
            "plan_spec": plan_spec,
            "metric": metric,
            "gpu_sharers": max(1, n_workers // 2),
            "gpu_part": None,
        }
        self._total_bytes = total_bytes() if memory is None else memory
        self._share_bytes = WORKERS_SHARE * self._total_bytes / n_workers
        self._selector = selectors.DefaultSelector()
        self._seats: list[Seat] = []
        self.has_gpu, self._n_on_gpu = has_cuda(device), 1
        for number in range(n_workers):
            self._seats.append(self._start("cuda" if self.has_gpu and number == 0 else "cpu"))

    def idle(self) -> list[str]:
        """Device of every worker that has nothing to do; a starting worker takes a job already."""
        return [seat.device for seat in self._seats if seat.job is None]

    def running(self) -> dict[str, float]:
        """Seconds that each job in work has taken so far, by id."""
        return {seat.job["id"]: time.monotonic() - seat.since for seat in self._seats if seat.job}

    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [seat.process.pid for seat in self._seats]

    def submit(self, job: Message, device: str | None = None) -> None:
        """Hand a job to an idle worker (of a device, where one is named)."""
        seat = next(seat for seat in self._seats if seat.job is None and device in {None, seat.device})
        seat.job, seat.since = job, time.monotonic()
        self._send(seat, job)

    def poll(self, timeout_s: float) -> list[Message]:
        """Wait for answers on the pipes; a worker that died, or that holds too much after a job, is replaced."""
        answers: list[Message] = []
        for key, _ in self._selector.select(timeout_s):
            seat: Seat = key.data
            piece = os.read(key.fd, 1 << 16)
            if not piece:
                answers += self._bury(seat)
                continue
            for message in seat.inbox.feed(piece):
                if message["event"] == "ready":
                    seat.ready, seat.since = True, time.monotonic()
                    self._hear_of_gpu(message)
                elif message["event"] == "fatal":
                    raise Unfinished(message["reason"])
                else:
                    seat.job = None
                    answers.append(message)
            if seat.job is None and seat.ready and resident_bytes(seat.process.pid) > RECYCLE_SHARE * self._share_bytes:
                self._replace(seat)
        self._move_to_gpu()
        return answers

    def too_large(self) -> dict[str, str]:
        """Reasons, by job, to end workers: one holds more than its share of the memory, or the machine runs out and it is the largest."""
        held = {seat.job["id"]: resident_bytes(seat.process.pid) for seat in self._seats if seat.job}
        reasons = {
            id: f"out of memory: its worker held {size / 2**20:.0f} MiB; one of {len(self._seats)} may hold {self._share_bytes / 2**20:.0f} MiB"
            for id, size in held.items()
            if size > self._share_bytes
        }
        least = LEAST_FREE_SHARE * self._total_bytes
        largest = max(held, key=lambda id: held[id], default=None)
        if largest is not None and not reasons and held[largest] > least and (free := free_bytes()) < least:
            reasons[largest] = (
                f"out of memory: {free / 2**20:.0f} MiB were left on the machine, and its worker was the largest with {held[largest] / 2**20:.0f} MiB"
            )
        return reasons

    def kill(self, id: str) -> None:
        """End the worker that does a job, by its pid, and start another."""
        self._replace(next(seat for seat in self._seats if seat.job and seat.job["id"] == id))

    def close(self) -> None:
        """End every worker and remove the shared panel."""
        for seat in self._seats:
            self._end(seat)
        self._seats.clear()
        self._selector.close()
        self._panel_path.unlink(missing_ok=True)

    def _hear_of_gpu(self, message: Message) -> None:
        """Take in what the first worker there says of the GPU: how many may share it, and the part of its memory that each may take."""
        if "gpu_sharers" in message:
            self._n_on_gpu, self._setting["gpu_part"] = message["gpu_sharers"], message["gpu_part"]

    def _move_to_gpu(self) -> None:
        """Replace idle workers by such on the GPU, as long as it serves more."""
        for place, seat in enumerate(self._seats if self.has_gpu else []):
            if seat.job is None and seat.device == "cpu" and sum(other.device == "cuda" for other in self._seats) < self._n_on_gpu:
                self._end(seat)
                self._seats[place] = self._start("cuda")

    def _start(self, device: str) -> Seat:
        """Start a process. Every variable is set before it imports anything; standard error goes to a log beside the run."""
        environment = os.environ | ONE_THREAD | {"ENSEMBLE_FORECAST_DEVICE": device, "PYTHONUNBUFFERED": "1"}
        environment["ENSEMBLE_FORECAST_CHECKPOINTS"] = str((self._run.work / "checkpoints").resolve())
        if device == "cpu":
            environment["CUDA_VISIBLE_DEVICES"] = ""
        with open(self._log_path, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ensemble_forecast.search.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=self._home,
                bufsize=0,
                pass_fds=(self._run.lock_handle,),
            )
        seat = Seat(device, process)
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, seat)
        self._send(seat, self._setting | {"share_bytes": self._share_bytes})
        return seat

    def _send(self, seat: Seat, message: Message) -> None:
        assert seat.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: `poll` will say so
            seat.process.stdin.write(encode(message))

    def _bury(self, seat: Seat) -> list[Message]:
        """Replace a worker that ended by itself, and say what became of its job; one that was killed while it started hands its job on."""
        fresh = self._replace(seat)
        code = seat.process.returncode
        if not seat.ready:
            if code >= 0 or seat.starts == STARTS:
                tail = self._log_path.read_text(errors="replace").strip().splitlines()[-1:]
                raise Unfinished(f"a worker ended before it was ready ({' '.join(tail) or 'no message'}); see {self._log_path}")
            fresh.starts, fresh.job, fresh.since = seat.starts + 1, seat.job, seat.since
            if seat.job:
                self._send(fresh, seat.job)
            return []
        how = f"signal {-code}" + (" (out of memory?)" if code == -9 else "") if code < 0 else f"exit code {code}"
        return [{"event": "died", "id": seat.job["id"], "reason": f"its process ended with {how}"}] if seat.job else []

    def _replace(self, seat: Seat) -> Seat:
        """End a worker, and start another in its place."""
        self._end(seat)
        fresh = self._start(seat.device)
        self._seats[self._seats.index(seat)] = fresh
        return fresh

    def _end(self, seat: Seat) -> None:
        """Kill one process by its pid and collect it."""
        assert seat.process.stdin is not None
        assert seat.process.stdout is not None
        self._selector.unregister(seat.process.stdout)
        seat.process.kill()
        seat.process.wait()
        seat.process.stdin.close()
        seat.process.stdout.close()

    @property
    def _log_path(self) -> Path:
        return self._run.work / "workers.log"

"""Workers on the hosts of a Dask cluster: the cluster says where jobs run, the driver everything else. They need not see the run folder."""

import functools
import queue
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Future

from ensemble_forecast import atomic
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.errors import BadInput, Unfinished
from ensemble_forecast.search.crew import Crew, Hire
from ensemble_forecast.search.engine import ANSWERS_WITHIN_S, misfits, open_client, workers_of
from ensemble_forecast.search.outpost import Outpost, Setting, do, pack_candidate
from ensemble_forecast.search.pool import has_cuda
from ensemble_forecast.search.protocol import Message
from ensemble_forecast.store import RunFolder, explaining_full_disk

LOOK_S = 1.0  # between two looks who is there
AWAY_S = 60.0  # that all workers may be away before the search ends
RESULT_S = 20.0  # for one attempt to fetch an answer
LOST = {"cancelled", "lost"}  # states of a future whose worker or scheduler has gone


@dataclass(eq=False)
class Seat:
    """A thread of a Dask worker, with an outpost of its own."""

    address: str
    device: str
    outpost: "Future[Outpost]"
    job: Message | None = None
    future: "Future[Message | None] | None" = None
    begun: float | None = None
    holds: set[str] = field(default_factory=set)  # candidates that it was sent


def connect(url: str) -> Hire:
    """Look whether the cluster at ``dask://HOST:PORT`` can be used, and return what makes a `Cluster` of it.

    Raises
    ------
    BadInput
        When the URL is none, or a worker has another version of this package.
    Unfinished
        When no scheduler answers there, or it has no worker.
    """
    with open_client(url) as client:
        try:
            client.wait_for_workers(1, timeout=ANSWERS_WITHIN_S)
        except TimeoutError as error:
            raise Unfinished(f"the Dask scheduler at {url} has no worker: start one (dask worker HOST:PORT --nthreads 1) and try again") from error
        for reason in misfits(client).values():
            raise BadInput(reason)
    return functools.partial(Cluster, url)


class Cluster(Crew):
    """Threads of Dask workers, each with a process of one thread below it.

    Parameters
    ----------
    url
        As `connect` takes it.
    n_workers
        At most so many; None: as many as there are threads, those of workers that join later too.
    device
        As for `Pool`: of the threads of a worker that has a GPU, the first one uses it.
    """

    def __init__(
        self,
        url: str,
        n_workers: int | None,
        run_folder: RunFolder,
        panel: Panel,
        task: Task,
        plan_spec: dict[str, Any],
        *,
        metric: str = "sql",
        device: str = "auto",
    ) -> None:
        self._url, self._most, self._run, self._device = url, n_workers, run_folder, device
        has_cuda(device)  # refuses what is none
        self._setting = Setting(panel, task, plan_spec, metric, str(run_folder.work.resolve()), uuid.uuid4().hex)
        self._seats: list[Seat] = []
        self._left_out: set[str] = set()
        self._news: queue.SimpleQueue[Future[Any] | str] = queue.SimpleQueue()  # jobs that ended, and ids of such as began
        self._look_at, self._seen_at = 0.0, time.monotonic()
        self._client = open_client(url)
        self._client.subscribe_topic(self._setting.topic, lambda event: self._news.put(event[1]["id"]))
        self._look()

    @property
    def has_gpu(self) -> bool:  # type: ignore[override]
        """Whether a worker uses a GPU."""
        return any(seat.device == "cuda" for seat in self._seats)

    def idle(self) -> list[str]:
        """Device of every seat without a job."""
        return [seat.device for seat in self._seats if seat.job is None]

    def running(self) -> dict[str, float]:
        """Seconds since a worker began each job; none where it still starts, or is busy with what others gave it."""
        return {seat.job["id"]: 0.0 if seat.begun is None else time.monotonic() - seat.begun for seat in self._seats if seat.job}

    def submit(self, job: Message, device: str | None = None) -> None:
        """Hand a job to an idle seat, with what it needs of this host."""
        seat = next(seat for seat in self._seats if seat.job is None and device in {None, seat.device})
        needed: set[str] = {job["rival"]} - seat.holds if job.get("rival") else set()
        seat.holds |= needed
        self._refuse_without_scheduler()
        told = job | {"modules": own_modules(job), "candidates": {id: pack_candidate(self._run, id) for id in needed}}
        key = f"{job['job']}-{job['id']}-{uuid.uuid4()}"
        seat.job, seat.begun = job, None
        seat.future = self._client.submit(do, seat.outpost, told, self._setting.topic, key=key, workers=[seat.address])
        seat.future.add_done_callback(self._news.put)

    def poll(self, timeout_s: float) -> list[Message]:
        """Wait for news of jobs; now and then look which workers have gone, and which have come."""
        answers = self._look() if time.monotonic() >= self._look_at else []
        try:
            news = [self._news.get(timeout=0.0 if answers else max(0.0, timeout_s))]
        except queue.Empty:
            return answers
        while not self._news.empty():
            news.append(self._news.get())
        for each in news:
            for seat, job in [(seat, seat.job) for seat in self._seats if seat.job]:
                if each == job["id"]:
                    self._hear_of_begin(seat, job)
                elif each is seat.future:
                    answers += self._hear_of_end(seat, job, seat.future)
        return answers

    def too_large(self) -> dict[str, str]:
        """None: every outpost sees to that by itself."""
        return {}

    def kill(self, id: str) -> None:
        """Let go of a job: its outpost ends the process within a moment, and then begins what comes next."""
        self._free(next(seat for seat in self._seats if seat.job and seat.job["id"] == id))

    def close(self) -> None:
        """Leave the cluster: it forgets all that this search laid down there."""
        self._seats.clear()
        self._client.close(timeout=ANSWERS_WITHIN_S)

    def _hear_of_begin(self, seat: Seat, job: Message) -> None:
        """Start the clock of a job."""
        seat.begun = time.monotonic()
        if job["job"] == "trial":
            with explaining_full_disk(self._run.path):
                self._run.mark_begun(job["id"])

    def _hear_of_end(self, seat: Seat, job: Message, future: "Future[Any]") -> list[Message]:
        """Take in an answer; a job whose worker has vanished is left to the next look."""
        if future.status in LOST:
            self._look_at = 0.0
            return []
        if future.status == "error":
            error = future.exception(timeout=RESULT_S)
            if seat.outpost.status == "error" or isinstance(error, Unfinished):
                raise Unfinished(f"the Dask worker {seat.address} cannot go on: {type(error).__name__}: {error}")
            self._free(seat)
            return [_died(job, f"its Dask worker gave up ({type(error).__name__}: {error})")]
        try:
            answer: Message | None = future.result(timeout=RESULT_S)
        except (TimeoutError, CancelledError):  # still on its way, or lost with its worker
            self._news.put(future)
            return []
        self._free(seat)
        if answer is None:
            return [_died(job, f"its Dask worker {seat.address} was closing")]
        self._unpack(job, answer)
        return [answer]

    def _unpack(self, job: Message, answer: Message) -> None:
        """Put what a job left on its host where it belongs."""
        candidate, artefact, trace = (answer.pop(name, None) for name in ("candidate", "artefact", "traceback"))
        with explaining_full_disk(self._run.path):
            if candidate is not None:
                self._run.commit(job["id"], **candidate)
            if trace is not None:
                atomic.write_text(self._run.work / "tracebacks" / f"{job['id']}.txt", trace)
            for name, content in (artefact or {}).items():
                atomic.write_bytes(Path(job["out"]) / name, content)

    def _look(self) -> list[Message]:
        """Look who is there: seats of workers that have gone are given up, and those that have come get some."""
        self._look_at = time.monotonic() + LOOK_S
        self._refuse_without_scheduler()
        there, answers = workers_of(self._client), []
        if there is not None:
            for seat in [seat for seat in self._seats if seat.address not in there or (seat.future is not None and seat.future.status in LOST)]:
                answers += [_died(seat.job, f"its Dask worker {seat.address} is gone")] if seat.job else []
                self._free(seat)
                self._seats.remove(seat)
            self._take_seats(there)
        if there and self._seats:
            self._seen_at = time.monotonic()
        if time.monotonic() > self._seen_at + AWAY_S:
            raise Unfinished(f"no worker has been left at {self._url} for {AWAY_S:.0f} s: start some, then run the same command again")
        return answers

    def _refuse_without_scheduler(self) -> None:
        """Give up where the client has: a scheduler remembers nothing that was before its end."""
        if self._client.status in {"closing", "closed"}:
            raise Unfinished(f"the Dask scheduler at {self._url} has gone: start it and its workers, then run the same command again")

    def _take_seats(self, there: Mapping[str, Any]) -> None:
        """Take the threads that are free, at most as many as are asked for, and tell their workers what the study is."""
        taken = Counter(seat.address for seat in self._seats)
        new = [address for address, told in there.items() if taken[address] < told["nthreads"] and address not in self._left_out]
        if not new or self._is_full():
            return
        wrong = misfits(self._client)
        for address in wrong.keys() - self._left_out:
            warnings.warn(f"left out: {wrong[address]}", stacklevel=2)
        self._left_out |= wrong.keys()
        if fit := [address for address in new if address not in wrong]:
            for address, gpu in self._client.run(has_cuda, self._device, workers=fit, on_error="return").items():
                if isinstance(gpu, bool):
                    self._settle(address, there[address]["nthreads"], gpu)
                elif not isinstance(gpu, OSError):  # that is of a worker which has just gone
                    raise Unfinished(f"the Dask worker {address} cannot work: {type(gpu).__name__}: {gpu}")

    def _settle(self, address: str, n_threads: int, has_gpu: bool) -> None:
        """Open an outpost for each free thread of a worker; the first one uses the GPU."""
        devices = [seat.device for seat in self._seats if seat.address == address]
        setting = self._client.scatter([self._setting], workers=[address], hash=False)[0]
        while len(devices) < n_threads and not self._is_full():
            devices.append("cuda" if has_gpu and "cuda" not in devices else "cpu")
            outpost = self._client.submit(Outpost, setting, devices[-1], key=f"outpost-{uuid.uuid4()}", workers=[address])
            self._seats.append(Seat(address, devices[-1], outpost))

    def _is_full(self) -> bool:
        return self._most is not None and len(self._seats) >= self._most

    def _free(self, seat: Seat) -> None:
        """Let go of a seat's job; what Dask hears of that reaches the outpost."""
        if seat.future is not None:
            seat.future.release()
        seat.job = seat.future = seat.begun = None


def own_modules(told: Any) -> dict[str, str]:
    """Return sources, by file, of modules that a job names (``"mine:Class"``) and that lie in the working directory, where local workers see them."""
    if isinstance(told, str):
        path = Path(told.partition(":")[0].partition(".")[0] + ".py")
        return {path.name: path.read_text()} if ":" in told and path.name.removesuffix(".py").isidentifier() and path.is_file() else {}
    children = told.values() if isinstance(told, dict) else told if isinstance(told, list | tuple) else ()
    return {name: source for child in children for name, source in own_modules(child).items()}


def _died(job: Message, reason: str) -> Message:
    return {"event": "died", "id": job["id"], "reason": reason}

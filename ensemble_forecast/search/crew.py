"""A crew: workers that do jobs, wherever they are. All that the driver, the refits and the stack know of them."""

import abc
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.search.protocol import Message


class Crew(abc.ABC):
    """Workers that share one panel and do a job at a time each; a context manager that lets them go in all cases.

    Final ones are `pool.Pool`, processes on this host, and `cluster.Cluster`, on the hosts of a Dask cluster.
    """

    has_gpu: bool  # whether some of them use a GPU: nets then run on these alone

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @abc.abstractmethod
    def idle(self) -> list[str]:
        """Device of every worker that has nothing to do; a starting worker takes a job already."""

    @abc.abstractmethod
    def running(self) -> dict[str, float]:
        """Seconds that each job in work has taken so far, by id."""

    @abc.abstractmethod
    def submit(self, job: Message, device: str | None = None) -> None:
        """Hand a job to an idle worker (of a device, where one is named)."""

    @abc.abstractmethod
    def poll(self, timeout_s: float) -> list[Message]:
        """Wait for answers, at most so long.

        Returns
        -------
        list of dict
            ``{"event": "done", "id", ...}`` for each job that ended, ``{"event": "died", "id", "reason"}`` for each whose worker did.

        Raises
        ------
        Unfinished
            When workers cannot start, or one found the disk full.
        """

    @abc.abstractmethod
    def too_large(self) -> dict[str, str]:
        """Reasons, by job, to end workers: one holds more than its share of the memory, or the machine runs out and it is the largest."""

    @abc.abstractmethod
    def kill(self, id: str) -> None:
        """End a job, whatever it is doing, and free its worker; it gives no answer any more."""

    @abc.abstractmethod
    def close(self) -> None:
        """End all work and remove what was shared."""

    def run(self, jobs: list[Message], deadline: Deadline) -> Iterator[Message]:
        """Do jobs in order, as workers become free, and yield the answers as they come; jobs that the deadline cuts off give none."""
        waiting = list(jobs)
        mine = {job["id"] for job in jobs}
        while (waiting or mine & set(self.running())) and not deadline.passed():
            for _ in self.idle()[: len(waiting)]:
                self.submit(waiting.pop(0))
            yield from (answer for answer in self.poll(min(0.5, deadline.left())) if answer["id"] in mine)
        for id in mine & set(self.running()):
            self.kill(id)


Hire = Callable[..., Crew]  # `Pool`, or what takes the same arguments

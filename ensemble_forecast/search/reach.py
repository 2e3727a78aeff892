"""What a command names by URL: the server that keeps its study, and the cluster that does its jobs."""

# SQLAlchemy and distributed take a second to import: only where they are asked for.
# ruff: noqa: PLC0415

from typing import TYPE_CHECKING

from ensemble_forecast.errors import MissingPackage
from ensemble_forecast.search.crew import Hire
from ensemble_forecast.search.pool import Pool

if TYPE_CHECKING:
    from ensemble_forecast.search.shared import Server


def reach(storage: str | None, engine: str | None) -> tuple["Server | None", Hire]:
    """Reach both, before any data are read; without a cluster the jobs are done on this host.

    Raises
    ------
    BadInput
        When a URL is none, or something needed is not installed, here or there.
    Unfinished
        When there is no answer.
    """
    server: Server | None = None
    hire: Hire = Pool
    if storage is not None:
        from ensemble_forecast.search.shared import connect as connect_storage

        server = connect_storage(storage)
    if engine is not None:
        try:
            from ensemble_forecast.search.cluster import connect
        except ModuleNotFoundError as error:
            raise MissingPackage(f'--engine needs {error.name}, which is not installed: pip install "ensemble-forecast[distributed]"') from error
        hire = connect(engine)
    return server, hire

"""The way to a Dask cluster: its address, whether a scheduler answers there, and whether its workers can do our work."""

import asyncio
import logging
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from distributed import Client, rpc

from ensemble_forecast.errors import BadInput, Unfinished

PACKAGE = "ensemble-forecast"
ANSWERS_WITHIN_S = 5.0  # a scheduler, and a first worker


def open_client(url: str) -> Client:
    """Connect to the scheduler at ``dask://HOST:PORT``.

    Raises
    ------
    BadInput
        When the URL is none.
    Unfinished
        When no scheduler answers there.
    """
    parts = urlsplit(url)
    try:
        is_whole = parts.scheme == "dask" and bool(parts.hostname) and bool(parts.port) and parts.path in {"", "/"}
    except ValueError:  # the port is no number
        is_whole = False
    if not is_whole:
        raise BadInput(f"--engine must be the address of a Dask scheduler, such as dask://HOST:8786; got {url!r}")
    address = f"tcp://{parts.netloc}"
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what goes wrong is said here, once
    try:
        asyncio.run(_knock(address))
        return Client(address, timeout=ANSWERS_WITHIN_S, set_as_default=False)
    except OSError as error:
        raise Unfinished(
            f"no Dask scheduler answers at {url} within {ANSWERS_WITHIN_S:.0f} s: start one (dask scheduler), or correct the address "
            "(the port of its dashboard is another one), then run the same command again"
        ) from error


def misfits(client: Client) -> dict[str, str]:
    """Say, by address of a worker, what is wrong with it: another version of this package, or none."""
    told: Any = client.get_versions(packages=[PACKAGE])
    found = {address: worker["packages"][PACKAGE] for address, worker in told["workers"].items()}
    return {
        address: f"the Dask worker {address} has {f'{PACKAGE} {other}' if other else f'no {PACKAGE}'}, and this is {version(PACKAGE)}: "
        "install the same version on every worker and start it again"
        for address, other in found.items()
        if other != version(PACKAGE)
    }  # fmt: skip


def workers_of(client: Client) -> dict[str, Any] | None:
    """Describe the workers by address; None where the scheduler does not answer now."""
    scheduler: Any = client.scheduler
    try:
        told: dict[str, Any] = client.sync(scheduler.identity, n_workers=-1, callback_timeout=ANSWERS_WITHIN_S)
    except (OSError, RuntimeError):  # the latter where the client has just given up
        return None
    workers: dict[str, Any] = told["workers"]
    return workers


async def _knock(address: str) -> None:
    """Raise OSError where no scheduler answers: a client would wait for ever on a port where something else listens."""
    async with asyncio.timeout(ANSWERS_WITHIN_S), rpc(address) as scheduler:
        await scheduler.identity(n_workers=0)

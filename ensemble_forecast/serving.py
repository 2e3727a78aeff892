"""The verb serve: a saved ensemble behind HTTP. One prediction at a time, a short queue before it, and a reason for whatever is refused.

``POST /predict`` and ``POST /predict_proba`` take the history as columns, ``GET /metadata`` tells what is served and within which limits,
``GET /health`` that the service is up. Every refusal is ``{"error": reason}``: 400 no JSON, or another host's name; 401 no token; 408 too slow
in asking; 413 too much; 422 not usable as it is; 503 no room, or no answer in time (with ``Retry-After``). Nothing in a request is executed,
and nothing is kept of it.
"""

import asyncio
import hmac
import ipaddress
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

import pandas as pd
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, FailFast, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ensemble_forecast.errors import BadInput, EnsembleForecastError
from ensemble_forecast.saved import Saved

LEAST_TOKEN = 16  # characters: shorter ones can be guessed
MOST_COLUMNS, MOST_ROWS = 2_000, 500_000  # of a history; its bytes are bounded too
MOST_CONNECTIONS = 64


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a service takes on.

    Parameters
    ----------
    most_mib
        Size of a request's body, in MiB.
    seconds
        Time for a body to arrive, and then for its answer, the wait in the queue included.
    queue
        Predictions taken on at a time: one runs, the others wait.
    """

    most_mib: float = 4.0
    seconds: float = 30.0
    queue: int = 4


class History(BaseModel):
    """A history to forecast from, column by column: stamps (``ds`` or ``date``), the target, covariates, and ``unique_id`` for several series."""

    model_config = ConfigDict(extra="forbid")
    columns: Annotated[
        dict[str, Annotated[list[int | float | str | None], Field(max_length=MOST_ROWS), FailFast()]],
        Field(min_length=1, max_length=MOST_COLUMNS, examples=[{"ds": ["2025-04-10", "2025-04-11"], "y": [79626.0, 83405.0]}]),
    ]


class Forecast(BaseModel):
    """What `EnsembleForecaster.predict` or `predict_proba` gives, a row an entry."""

    forecast: list[dict[str, str | float | None]]


class Refused(HTTPException):
    """A request that gets a reason in place of an answer."""


class Queue:
    """One thread that predicts, and a bounded number of predictions that wait for it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places = threading.BoundedSemaphore(limits.queue)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")

    async def answer(self, work: Callable[[], str]) -> str:
        """Wait for a turn and for the result.

        Raises
        ------
        Refused
            503 when nothing more can wait, or the time is over; a prediction that runs by then keeps its place until it ends.
        """
        if not self._places.acquire(blocking=False):
            raise _later(f"{self._limits.queue} predictions are waiting or running already")
        future = self._thread.submit(work)
        future.add_done_callback(lambda _: self._places.release())
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._limits.seconds)
        except TimeoutError:
            raise _later(f"no answer within {self._limits.seconds:g} s: send fewer series or rows, or ask when less is going on") from None


class Door:
    """Asks for the name and the token, and bounds the body in size and time, before anything of it is parsed."""

    def __init__(self, app: ASGIApp, token: str | None, limits: Limits, hosts: tuple[str, ...] = ()) -> None:
        self._app, self._limits, self._hosts = app, limits, hosts
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in with its whole body, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check_host(scope)
            self._check_token(scope)
            body = await self._body(scope, receive)
        except Refused as refused:
            await _refusal(refused)(scope, receive, send)
            return
        left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return left.pop() if left else await receive()

        await self._app(scope, replay, send)

    def _check_host(self, scope: Scope) -> None:
        given = Headers(scope=scope).get("host", "")
        try:
            name = urlsplit(f"//{given}").hostname
        except ValueError:
            name = None
        if self._hosts and name not in self._hosts:
            raise Refused(400, f"this service is called {' or '.join(self._hosts)}, not {given!r}; under other names it answers with a token only")

    def _check_token(self, scope: Scope) -> None:
        if self._expected is None or scope["path"] == "/health":
            return
        given = Headers(scope=scope).get("authorization", "").encode()
        if not hmac.compare_digest(given, self._expected):
            raise Refused(401, "this service asks for a token: send the header 'Authorization: Bearer TOKEN'", {"WWW-Authenticate": "Bearer"})

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Read the body as far as it may go."""
        most = int(self._limits.most_mib * 2**20)
        too_much = Refused(413, f"a request may hold {self._limits.most_mib:g} MiB: send fewer rows, columns or series")
        stated = Headers(scope=scope).get("content-length", "0")
        if stated.isdecimal() and int(stated) > most:
            raise too_much
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(self._limits.seconds):
                while more:
                    message = await receive()
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > most:
                        raise too_much
        except TimeoutError:
            raise Refused(408, f"the request did not arrive within {self._limits.seconds:g} s") from None
        return bytes(body)


def application(saved: Saved, *, token: str | None = None, limits: Limits | None = None, hosts: tuple[str, ...] = ()) -> FastAPI:
    """Build the service of a saved ensemble.

    Parameters
    ----------
    token
        What every request but ``/health`` must bear; None: nothing.
    hosts
        Names by which the service may be called: without a token, pages in a browser must not reach it under a name of their own. Empty: any.
    """
    limits = limits or Limits()
    queue, about = Queue(limits), describe(saved, limits)
    app = FastAPI(title=f"ensemble_forecast: {saved.study}", docs_url=None, redoc_url=None)  # their pages load scripts from elsewhere

    @app.post("/predict", response_model=Forecast)
    async def predict(history: History) -> Response:
        """Forecast the next horizon of every series."""
        return await answered(saved.model.predict, history)

    @app.post("/predict_proba", response_model=Forecast)
    async def predict_proba(history: History) -> Response:
        """Forecast the probability that the target lies above its last value."""
        return await answered(saved.model.predict_proba, history)

    @app.get("/metadata")
    async def metadata() -> dict[str, Any]:
        """Tell what is served."""
        return about

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Tell that the service is up."""
        return {"status": "ok"}

    async def answered(predicted: Callable[[pd.DataFrame], pd.DataFrame], history: History) -> Response:
        def work() -> str:
            return predicted(_frame(history)).to_json(orient="records", date_format="iso", double_precision=15)

        return Response(f'{{"forecast":{await queue.answer(work)}}}', media_type="application/json")

    app.add_exception_handler(EnsembleForecastError, _on_unusable)
    app.add_exception_handler(RequestValidationError, _on_malformed)
    app.add_exception_handler(HTTPException, _on_refused)
    app.add_middleware(Door, token=token, limits=limits, hosts=hosts)
    return app


def describe(saved: Saved, limits: Limits) -> dict[str, Any]:
    """Tell what is served: what a request needs, what an answer means, and who speaks."""
    model, manifest = saved.model, saved.model.manifest_
    return {
        "study": saved.study,
        **{name: getattr(model, name) for name in ("kind", "horizon", "freq", "season_length", "gaps")},
        "quantiles": list(model.quantiles),
        "columns": {role: getattr(model.columns_, role) for role in ("target", "past", "known", "static")},
        "features": manifest["features"],
        "combiner": manifest["combiner"],
        "members": manifest["members"],
        "limits": asdict(limits) | {"most_columns": MOST_COLUMNS, "most_rows": MOST_ROWS},
    }


def run(saved: Saved, host: str, port: int, token: str | None, limits: Limits, on_start: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    port
        0: any that is free.
    on_start
        Told the address once it is bound.

    Raises
    ------
    BadInput
        When the token is too short, the host is not of this machine alone and there is no token, or the address cannot be bound.
    """
    if token is not None and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        raise BadInput(f"a token needs at least {LEAST_TOKEN} plain characters; got {len(token)}: take a random one, as of secrets.token_urlsafe()")
    bound = listen(host, port, is_open=token is not None)
    address, port = bound.getsockname()[:2]
    hosts = tuple(dict.fromkeys(("localhost", host.lower(), address))) if token is None else ()
    app = application(saved, token=token, limits=limits, hosts=hosts)
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, proxy_headers=False, limit_concurrency=MOST_CONNECTIONS)
    on_start(f"http://{f'[{address}]' if ':' in address else address}:{port}")
    with bound, suppress(KeyboardInterrupt):  # which is how a service ends
        uvicorn.Server(config).run(sockets=[bound])


def listen(host: str, port: int, *, is_open: bool) -> socket.socket:
    """Bind an address; one that others can reach only where the service asks them for a token."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if not is_open and not ipaddress.ip_address(address[0]).is_loopback:
            raise BadInput(f"--host {host} can be reached from other machines: give a token too (--token, or ENSEMBLE_FORECAST_TOKEN)")
        return socket.create_server(address, family=family)
    except (OSError, OverflowError) as error:
        raise BadInput(f"cannot listen on {host}:{port} ({error}); choose another --host or --port") from error


def _frame(history: History) -> pd.DataFrame:
    """Turn columns into a frame, for the door of the data to judge."""
    lengths = {name: len(values) for name, values in history.columns.items()}
    longest = max(lengths, key=lengths.__getitem__)
    if uneven := [name for name in lengths if lengths[name] != lengths[longest]]:
        raise BadInput(
            f"columns must have the same length; column {longest!r} has {lengths[longest]} rows and column {uneven[0]!r} has {lengths[uneven[0]]}"
        )
    return pd.DataFrame(history.columns)


def _later(reason: str) -> Refused:
    return Refused(503, f"{reason}; ask again in a moment", {"Retry-After": "1"})


def _refusal(refused: HTTPException) -> JSONResponse:
    return JSONResponse({"error": str(refused.detail)}, refused.status_code, refused.headers)


async def _on_refused(_: Request, error: Any) -> JSONResponse:
    """Answer what was refused, here or by the framework (no such path, wrong method)."""
    return _refusal(error)


async def _on_unusable(_: Request, error: Any) -> JSONResponse:
    """Answer a history that is not usable as it is, in the words that the command line would use."""
    return JSONResponse({"error": str(error)}, 422)


async def _on_malformed(_: Request, error: Any) -> JSONResponse:
    """Answer a body that is no history: where, and what is wrong there."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"error": f"{place}: {first['msg']}; send {{'columns': {{name: [values]}}}} as application/json"}, 422)

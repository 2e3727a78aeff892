"""Optuna's storage on a database server: any number of searches, on any hosts, join one study by its name.

What Optuna 5 leaves open and is settled here: its heartbeat serves ``study.optimize`` only, so the driver beats for the trials it runs; a trial
whose driver died before its first beat would never count as stale, so whoever sees one starts its clock; a call that meets a server which is away
raises, so every call waits for the server until the search's deadline.
"""

import contextlib
import functools
import math
import os
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy import exc

from ensemble_forecast import atomic
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, MissingPackage, Unfinished

HEARTBEAT_S = 60  # shorter ones were seen to mark living trials failed (Optuna issues 5470 and 4234)
GRACE_S = 120
AGAIN_S = 1.0  # between two looks whether the server is back
BIRTHS = 5  # searches that begin on an empty database at once may trip over each other's tables so often
CALLS = (  # of Optuna to its storage
    "create_new_study", "delete_study", "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name", "get_study_name_from_id",
    "get_study_directions", "get_study_user_attrs", "get_study_system_attrs", "get_all_studies", "_create_new_trial", "_set_trial_param",
    "set_trial_state_values", "set_trial_user_attr", "set_trial_system_attr", "get_trial", "_get_trials", "get_trial_id_from_study_id_trial_number",
    "record_heartbeat", "_get_stale_trial_ids", "start_clocks",
)  # fmt: skip
POSTGRES = {  # a host that has vanished without a word is noticed within half a minute
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
UNSTARTED = """
SELECT trial_id FROM trials WHERE study_id = :study AND state = 'RUNNING'
AND NOT EXISTS (SELECT 1 FROM trial_heartbeats WHERE trial_heartbeats.trial_id = trials.trial_id)
"""


class ServerAway(Unfinished):
    """The storage could not be reached."""


class Server(RDBStorage):
    """A storage that waits for its server until its ``deadline``, which the search sets; then its calls raise `ServerAway`."""

    def __init__(self, url: str) -> None:
        self.deadline = Deadline.after(0)
        self.back_at = -math.inf
        self.shown = sqlalchemy.make_url(url).render_as_string(hide_password=True)
        self.stale: list[FrozenTrial] = []
        arguments = POSTGRES if sqlalchemy.make_url(url).get_backend_name() == "postgresql" else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(
                url,
                engine_kwargs={"pool_pre_ping": True, "connect_args": dict(arguments)},
                heartbeat_interval=HEARTBEAT_S,
                grace_period=GRACE_S,
                heartbeat_stale_trial_callback=lambda _, trial: self.stale.append(trial),
            )

    def start_clocks(self, study_id: int) -> None:
        """Begin to count for running trials of a study that have never beaten."""
        with self.engine.connect() as connection:
            unstarted = connection.execute(sqlalchemy.text(UNSTARTED), {"study": study_id}).scalars().all()
        for trial_id in unstarted:
            RDBStorage.record_heartbeat(self, trial_id)

    def fail_stale(self, study: optuna.Study) -> list[FrozenTrial]:
        """Fail the trials of a study whose searches have fallen silent; each is returned once, to whichever search asks first.

        None is failed in the first minutes after the server was away: nobody could beat.
        """
        if time.monotonic() < self.back_at + GRACE_S:
            return []
        self.start_clocks(self.get_study_id_from_name(study.study_name))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.storages.fail_stale_trials(study)
        found, self.stale = self.stale, []
        return found

    @staticmethod
    def run_id(folder: Path) -> str:
        """Return the name that a run folder has in the storage, the same for every host that sees the folder; made by whoever comes first."""
        path = folder / "run_id"
        if not path.exists():
            beside = path.with_name(f".run_id.{uuid.uuid4()}")
            atomic.write_text(beside, str(uuid.uuid4()))
            with contextlib.suppress(FileExistsError):
                os.link(beside, path)
            beside.unlink()
        return path.read_text()

    @contextlib.contextmanager
    def hurried(self, seconds: float) -> Iterator[None]:
        """Wait no longer than so many seconds in all, and do without the server then: what it is not told, others find stale."""
        before, self.deadline = self.deadline, Deadline.after(seconds)
        try:
            with contextlib.suppress(ServerAway):
                yield
        finally:
            self.deadline = before


def _patient(call: Callable[..., Any]) -> Callable[..., Any]:
    """Let a call wait until the server is back, or the deadline has passed."""

    @functools.wraps(call)
    def waiting(self: Server, *args: Any, **kwargs: Any) -> Any:
        while True:
            try:
                return call(self, *args, **kwargs)
            except (StorageInternalError, exc.SQLAlchemyError) as error:
                if not _is_away(error):
                    raise
                if self.deadline.passed():
                    raise ServerAway(_away(self.shown, error)) from error
            warnings.warn(f"the storage {self.shown} is away: the search waits for it", stacklevel=2)
            time.sleep(min(AGAIN_S, self.deadline.left()))
            self.back_at = time.monotonic()

    return waiting


for _name in CALLS:
    setattr(Server, _name, _patient(getattr(Server, _name)))


def connect(url: str) -> Server:
    """Open a study's storage.

    Raises
    ------
    BadInput
        When the URL is none, its driver is not installed, or the server refuses to keep studies.
    ServerAway
        When the server does not answer now.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for birth in range(BIRTHS):
        try:
            return Server(url)
        except ImportError as error:
            raise MissingPackage(
                f"--storage {url.partition(':')[0]} needs a package that is missing; install ensemble-forecast[distributed]"
            ) from error
        except (exc.ArgumentError, ValueError) as error:
            raise BadInput(
                f"--storage must be the URL of a database, such as postgresql+psycopg://USER@HOST/DATABASE; got another: {error}"
            ) from error
        except (StorageInternalError, exc.SQLAlchemyError, RuntimeError) as error:
            shown = sqlalchemy.make_url(url).render_as_string(hide_password=True)
            if _is_away(error):
                raise ServerAway(_away(shown, error)) from error
            refusal = error
        time.sleep(0.2 * (birth + 1))
    raise BadInput(f"the storage {shown} refuses to keep studies: {refusal}") from refusal


def _is_away(error: Exception) -> bool:
    """Whether the server could not be reached, or hung up, rather than refused what it was told."""
    kinds = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, exc.PendingRollbackError)  # the last where Optuna asks twice in one session
    return isinstance(error, kinds) or isinstance(error.__cause__, kinds)


def _away(shown: str, error: Exception) -> str:
    """Say that the server is away, with its own reason, on one line."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    reason = " ".join(str(getattr(cause, "orig", cause)).split())
    return (
        f"the storage {shown} cannot be reached ({reason}): start it, or correct the URL, then run the same command again; nothing finished is lost"
    )

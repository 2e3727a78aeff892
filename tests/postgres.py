"""A PostgreSQL server of a test's own: the distribution's programs, in a temporary folder, on a socket there, as a user who may do nothing."""

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

HOW_TO_GET_IT = "no PostgreSQL found: make soak installs it (apt-get install postgresql), and then runs these tests"
PLACES = "/usr/lib/postgresql/*/bin"  # where Debian keeps what is not on the path
NOBODY = "nobody"  # the server refuses to be root


class Server:
    """A server that can be stopped and started again."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.folder, self._programs = folder, programs
        self.url = f"postgresql+psycopg://{NOBODY}@/postgres?host={folder}"
        self._run("initdb", "--auth=trust", "--no-sync", f"--username={NOBODY}", f"--pgdata={folder / 'data'}")
        self.start()

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        self._run("pg_ctl", "start", "-w", f"--pgdata={self.folder / 'data'}", f"--log={self.folder / 'log'}", f"--options={options}")

    def stop(self) -> None:
        """Stop at once; whoever is connected is cut off."""
        self._run("pg_ctl", "stop", "-w", "--mode=immediate", f"--pgdata={self.folder / 'data'}")

    def ask(self, question: str) -> str:
        """Ask in SQL for a single figure."""
        words = [self._programs / "psql", "-qtA", f"--host={self.folder}", f"--username={NOBODY}", "--command", question, "postgres"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()

    def _run(self, program: str, *arguments: str) -> None:
        user = {"user": NOBODY, "group": "nogroup"} if os.geteuid() == 0 else {}
        log = open(self.folder / "programs.log", "ab")  # noqa: SIM115 - a pipe would stay open as long as the server
        with log:
            subprocess.run([self._programs / program, *arguments], check=True, stdout=log, stderr=log, cwd=self.folder, timeout=120, **user)


def programs() -> Path | None:
    """Folder of the newest installed server's programs."""
    on_path = shutil.which("initdb")
    found = sorted(Path("/").glob(f"{PLACES[1:]}/initdb"), key=lambda path: float(path.parts[-3]))
    return Path(on_path).resolve().parent if on_path else found[-1].parent if found else None


@contextmanager
def server():
    """Run a server for as long as it is needed."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # not pytest's: others may not enter that
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, NOBODY, "nogroup")
        running = Server(programs(), folder)
        yield running
        running.stop()
    finally:
        pid = folder / "data" / "postmaster.pid"
        if pid.exists():
            os.kill(int(pid.read_text().split()[0]), 3)
            time.sleep(1)
        shutil.rmtree(folder, ignore_errors=True)

"""Files that are either whole or absent: write beside, fsync, rename (POSIX ``rename`` is atomic on one file system)."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a mixture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with open(beside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


class _Stream:
    """A file that NumPy takes for anything but a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, content: bytes) -> int:
        """Pass the content on."""
        return self._file.write(content)


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array as ``.npy``; where NumPy writes to a file by itself, a full disk is an error without a number."""
    with open(path, "wb") as file:
        np.save(_Stream(file), array, allow_pickle=False)


def append_line(path: Path, line: str) -> None:
    """Append one line and force it to disk; a crash can tear only this last line."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def commit_folder(prepared: Path, final: Path) -> None:
    """Move a prepared folder to its final name in one step, replacing an older one; the files in it are synced first."""
    for file in prepared.rglob("*"):
        if file.is_file():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
    if final.exists():
        aside = final.with_name(f".{final.name}.{os.getpid()}.old")
        os.rename(final, aside)
        os.rename(prepared, final)
        shutil.rmtree(aside)
    else:
        os.rename(prepared, final)
    sync_folder(final.parent)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock file: whoever comes second waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

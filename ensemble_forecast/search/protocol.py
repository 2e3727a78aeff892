"""Messages between driver and worker: one JSON object a line, over the worker's standard input and output."""

import json
from typing import Any

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """Write a message as one line. NaN is not JSON: losses that do not exist are None."""
    return json.dumps(message, allow_nan=False).encode() + b"\n"


class Inbox:
    """Joins the pieces that a pipe delivers into whole messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[Message]:
        """Take the next piece and return the messages it completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return [json.loads(line) for line in lines]

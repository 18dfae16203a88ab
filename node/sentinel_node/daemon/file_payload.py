"""The payload of a flow from a regular file, read piece by piece."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sentinel_node.errors import NodeError, RequestError


def file_bytes(path: str) -> int:
    """How much there is to send. Raises RequestError for what is no readable, regular file."""
    try:
        found = Path(path).stat()
        readable = os.access(path, os.R_OK)
    except OSError as error:
        raise RequestError(f"--file {path}: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise RequestError(f"--file {path}: not a regular file, so its size is not known ahead")
    if not readable:
        raise RequestError(f"--file {path}: may not be read by user {os.geteuid()}")
    if not found.st_size:
        raise RequestError(f"--file {path}: is empty, there is nothing to send")
    return found.st_size


class FilePayload:
    """Fills buffers as `core.payload.PayloadStream` does. A context manager."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - closed by __exit__
        self.offset_bytes = 0

    def __enter__(self) -> FilePayload:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def fill(self, out: memoryview, count_bytes: int) -> None:
        """The next `count_bytes` bytes. Raises NodeError if the file has become shorter."""
        done = 0
        while done < count_bytes:
            count = self._file.readinto(out[done:count_bytes])
            if not count:
                raise NodeError(
                    f"{self._path} ended after {self.offset_bytes + done} bytes: it was made "
                    "shorter while it was sent"
                )
            done += count
        self.offset_bytes += count_bytes

"""The log of what was confirmed, kept by the experimenter's process, outside all nodes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self


class ConfirmationLog:
    """One line of JSON for each word that grew. A context manager; it is written as it goes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self._highest: dict[tuple[int, int], int] = {}

    def __enter__(self) -> Self:
        self._file = self._path.open("w", buffering=1)  # by the line: as it is said
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def confirm(self, round_number: int, flow_id: int, offset: int) -> None:
        """The sender's node said that [0, offset) is safe."""
        if offset <= self.highest(round_number, flow_id):
            return
        self._highest[round_number, flow_id] = offset
        if self._file is None:
            raise ValueError(f"{self._path} is not open")
        line = {"t_ns": time.monotonic_ns(), "round": round_number, "transfer": flow_id}
        self._file.write(json.dumps({**line, "confirmed_bytes": offset}) + "\n")

    def highest(self, round_number: int, flow_id: int) -> int:
        """What may be relied upon; 0: nothing was confirmed."""
        return self._highest.get((round_number, flow_id), 0)

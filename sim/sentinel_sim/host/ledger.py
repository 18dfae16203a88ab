"""The list of what a run made on this host, written before each thing is made.

One JSON object a line. Each line is one write() to a file opened for appending, so after a
SIGKILL only a last line can be incomplete, and then what it announced was not made yet.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from sentinel_sim.errors import ResultError

LEDGER_NAME = "owned.jsonl"


class OwnedKind(StrEnum):
    """What sort of thing a record names."""

    NAMESPACE = "namespace"
    PROCESS = "process"
    INTERFACE = "interface"
    MOUNT = "mount"
    FILE = "file"
    DIRECTORY = "directory"
    CGROUP = "cgroup"


@dataclass(frozen=True, slots=True)
class Record:
    """One thing a run made, or was about to make.

    `name` is a namespace or interface name or an absolute path; for a process it says what it is,
    and `pid` and `start_time_ticks` identify it.
    """

    kind: OwnedKind
    name: str
    pid: int | None = None
    start_time_ticks: int | None = None


def format_record(record: Record) -> bytes:
    """One line of the ledger, newline included."""
    fields = {key: value for key, value in asdict(record).items() if value is not None}
    return (json.dumps(fields, separators=(",", ":")) + "\n").encode()


def parse_ledger(text: str, source: str) -> list[Record]:
    """The records in the order written. An unfinished last line is dropped.

    Raises ResultError, naming `source` and the line, for any other line that is no record:
    then somebody else wrote to the file, and acting on it could hit foreign things.
    """
    complete, _, _unfinished = text.rpartition("\n")
    return [
        _parse_line(line, f"{source}:{number}")
        for number, line in enumerate(complete.split("\n"), start=1)
        if line
    ]


def _parse_line(line: str, where: str) -> Record:
    try:
        fields = json.loads(line)
        record = Record(**{**fields, "kind": OwnedKind(fields["kind"])})
    except (ValueError, TypeError, KeyError) as error:
        raise ResultError(
            f"{where}: not a record of what a run made: {line[:80]!r}",
            cure=f"inspect the file, remove what it names by hand, then delete it ({where})",
        ) from error
    is_process = record.kind is OwnedKind.PROCESS
    numbers = (record.pid, record.start_time_ticks)
    if not isinstance(record.name, str) or is_process != all(isinstance(n, int) for n in numbers):
        raise ResultError(f"{where}: incomplete record: {line[:80]!r}")
    return record


def read_ledger(directory: Path) -> list[Record]:
    """The records of the run in `directory`; none if it died before it wrote any."""
    path = directory / LEDGER_NAME
    try:
        return parse_ledger(path.read_text(), str(path))
    except FileNotFoundError:
        return []

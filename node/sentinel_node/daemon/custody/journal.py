"""A custodian's disk: one flow's bytes in append-only files, synced batch by batch in a thread.

The flow's thread hands over a batch (views of its memory, which stays untouched until the batch is
done), the journal's thread writes and syncs it. A file that has grown to SEGMENT_BYTES is followed
by another; one whose bytes are all delivered is removed, so the disk holds little more than is in
custody.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path

from sentinel_node.core.custody.journal import JournalImage, Kind, read_journal, record
from sentinel_node.core.framing import FlowHeader, FlowTrailer
from sentinel_node.daemon.custody.stable import sync_names
from sentinel_node.daemon.custody.wake import Wake
from sentinel_node.errors import NodeError

SEGMENT_BYTES = 64 * 1024 * 1024
BATCH_BYTES = 8 * 1024 * 1024
_NAME = re.compile(r"([0-9a-f]{16})\.(\d{6})\.custody")


class JournalError(NodeError):
    """The disk does not take bytes in custody, or does not give them back."""


@dataclass(frozen=True, slots=True)
class Batch:
    """[start, end) of the flow, and its end if that is known."""

    start: int
    end: int
    views: tuple[memoryview, ...]
    trailer: FlowTrailer | None


@dataclass(frozen=True, slots=True)
class Recovered:
    """One flow as a dead daemon left it: [base, end) is whole, and may be delivered in part."""

    name: int
    header: FlowHeader
    trailer: FlowTrailer | None
    base: int
    end: int
    parts: tuple[tuple[Path, JournalImage], ...]

    def read(self, start: int, out: memoryview) -> int:
        """Bytes from `start` into `out`; gives how many lie together, 0 at the end."""
        for path, image in self.parts:
            for extent in image.extents:
                skip = start - extent.offset
                if 0 <= skip < extent.length:
                    with path.open("rb") as file:
                        file.seek(extent.place + skip)
                        return file.readinto(out[: extent.length - skip])
        return 0


def recover(folder: Path) -> tuple[Recovered, ...]:
    """Every flow that is found there. Torn ends are left out; files that are of no use stay."""
    found: dict[int, list[tuple[Path, JournalImage]]] = {}
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match is not None:
            found.setdefault(int(match[1], 16), []).append((path, _image(path)))
    flows = (_flow(name, parts) for name, parts in found.items())
    return tuple(flow for flow in flows if flow is not None)


def _image(path: Path) -> JournalImage:
    with path.open("rb") as file:

        def read(place: int, count: int) -> bytes:
            file.seek(place)
            return file.read(count)

        return read_journal(read, path.stat().st_size)


def _flow(name: int, parts: list[tuple[Path, JournalImage]]) -> Recovered | None:
    header = next((image.header for _, image in parts if image.header is not None), None)
    if header is None:
        return None
    extents = [extent for _, image in parts for extent in image.extents]
    base = end = extents[0].offset if extents else 0
    trailer: FlowTrailer | None = None
    for extent in extents:
        if extent.offset > end:
            # The flow was taken up again further on: what is before was delivered by then.
            base = extent.offset
        end = max(end, extent.offset + extent.length)
    for _, image in parts:
        trailer = image.trailer or trailer
    if trailer is not None and trailer.payload_bytes != end:
        trailer = None
    return Recovered(name, header, trailer, base, end, tuple(parts))


class Journal:
    """One flow's files, written by a thread of its own. Used by the flow's thread."""

    def __init__(self, folder: Path, name: int, wake: Wake) -> None:
        self._folder = folder
        self._name = name
        self._wake = wake
        # Behind what an earlier life of the daemon, or of the flow, left there.
        numbers = [int(path.name.split(".")[1]) for path in folder.glob(f"{name:016x}.*.custody")]
        self._number = max(numbers, default=-1) + 1
        self._fd = -1
        self._size = 0
        self._ends: list[tuple[Path, int]] = []
        self._header: FlowHeader | None = None
        self._batch: Batch | None = None
        self._done: Batch | None = None
        self._closed = False
        self._error = ""
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"journal-{name:016x}")
        self._thread.start()

    @classmethod
    def after(cls, folder: Path, flow: Recovered, wake: Wake) -> Journal:
        """Goes on behind the files of a dead daemon."""
        journal = cls(folder, flow.name, wake)
        journal._ends = [
            (path, max((e.offset + e.length for e in image.extents), default=0))
            for path, image in flow.parts
        ]
        return journal

    @property
    def pinned(self) -> int | None:
        """Memory from this offset on is being written; None: none is."""
        batch = self._batch
        return None if batch is None else batch.start

    def begin(self, header: FlowHeader, batch: Batch) -> None:
        """Write and sync a batch; there must be none under way."""
        with self._changed:
            self._header, self._batch = header, batch
            self._changed.notify()

    def take_done(self) -> Batch | None:
        """The batch that is on stable storage now. Raises JournalError if it could not be."""
        with self._changed:
            if self._error:
                raise JournalError(f"journal of flow {self._name:016x}: {self._error}")
            done, self._done = self._done, None
            return done

    def wait_idle(self) -> None:
        """Until no memory is being written."""
        with self._changed:
            while self._batch is not None and not self._error:
                self._changed.wait()

    def free(self, offset: int) -> None:
        """[0, offset) is delivered: files with nothing else are removed."""
        with self._changed:
            while self._ends and self._ends[0][1] <= offset:
                if len(self._ends) == 1 and self._fd >= 0:
                    break  # is being written
                self._ends.pop(0)[0].unlink(missing_ok=True)

    def close(self, *, remove: bool) -> None:
        """End the thread; `remove`: the flow is delivered, its files are not needed any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        if self._fd >= 0:
            os.close(self._fd)
        if remove:
            for path, _ in self._ends:
                path.unlink(missing_ok=True)

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._batch is None and not self._closed:
                    self._changed.wait()
                if self._batch is None:
                    return
                batch, header = self._batch, self._header
            error = ""
            try:
                self._write(batch, header)
            except OSError as trouble:
                error = f"{self._folder}: {trouble.strerror}"
            with self._changed:
                self._batch, self._done, self._error = None, batch, error
                self._changed.notify_all()
            self._wake.set()
            if error:
                return

    def _write(self, batch: Batch, header: FlowHeader | None) -> None:
        if self._fd < 0 or self._size >= SEGMENT_BYTES:
            self._next_file(header)
        pieces: list[bytes | memoryview] = []
        if batch.views:
            pieces += [record(Kind.DATA, batch.start, batch.views), *batch.views]
        if batch.trailer is not None:
            body = batch.trailer.encode()
            pieces += [record(Kind.TRAILER, batch.end, (body,)), body]
        self._put(pieces)
        os.fdatasync(self._fd)
        with self._changed:
            path, _ = self._ends[-1]
            self._ends[-1] = (path, batch.end)

    def _put(self, pieces: list[bytes | memoryview]) -> None:
        for piece in pieces:
            view = memoryview(piece)
            while len(view):
                count = os.write(self._fd, view)
                self._size += count
                view = view[count:]

    def _next_file(self, header: FlowHeader | None) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        path = self._folder / f"{self._name:016x}.{self._number:06d}.custody"
        self._number += 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self._size = 0
        with self._changed:
            self._ends.append((path, 0))
        if header is not None:
            body = header.encode()
            self._put([record(Kind.HEADER, 0, (body,)), body])
        sync_names(self._folder)

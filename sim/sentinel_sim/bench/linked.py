"""A child process that answers each line with one: the load generator and the user-space lanes."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from sentinel_sim.errors import EmulationError

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0


class LinkedProcess:
    """Commands in, a line of JSON back for each; it ends when its input is closed."""

    def __init__(self, what: str, process: subprocess.Popen[str]) -> None:
        self.what = what
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    def start(
        cls, what: str, words: Sequence[str], environment: Mapping[str, str]
    ) -> LinkedProcess:
        """Start it and wait until it says `ready`. Raises EmulationError with its complaint."""
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C is for the controller, which ends this one in order
        )
        child = cls(what, process)
        try:
            answer = child._answer(START_TIMEOUT_S)
            if answer != "ready":
                raise EmulationError(f"{what} said {answer!r} instead of 'ready'")
        except BaseException:
            child.stop()
            raise
        return child

    def ask(self, line: str, timeout_s: float) -> dict[str, Any]:
        """Send one command, return its answer. Raises EmulationError."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            assert self._process.stderr is not None
            complaint = self._process.stderr.read().strip() or "no message"
            raise EmulationError(f"{self.what} (pid {self.pid}) has died: {complaint}") from error
        answer = self._answer(timeout_s)
        if answer.startswith("error"):
            raise EmulationError(f"{self.what} refused {line[:60]!r}: {answer}")
        found: dict[str, Any] = json.loads(answer)
        return found

    def _answer(self, timeout_s: float) -> str:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        ready, _, _ = select.select([self._process.stdout], [], [], timeout_s)
        text = self._process.stdout.readline().strip() if ready else ""
        if not text:
            ended = bool(ready) or self._process.poll() is not None
            complaint = self._process.stderr.read().strip() if ended else f"within {timeout_s:g} s"
            raise EmulationError(f"{self.what} (pid {self.pid}) does not answer: {complaint}")
        return text

    def stop(self) -> None:
        """Close its input, which ends it; kill it when it does not listen. Harmless twice."""
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        try:
            self._process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

"""`fsu top` in a terminal: a pseudo-terminal of our own, real keys, a real flow."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.lab.fsu.test_fsu_by_hand import LEFT, PROGRAM, RIGHT, fsu, pair, ping

pytestmark = pytest.mark.lab
__all__ = ["pair"]  # the fixture

SHOWN_TIMEOUT_S = 20.0
HOME, ALTERNATE_OFF, CURSOR_ON = b"\x1b[H", b"\x1b[?1049l", b"\x1b[?25h"
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """A program in a terminal of `columns` x `lines`, and what it shows."""

    def __init__(self, words: tuple[str, ...], columns: int, lines: int) -> None:
        self._fd, inside = pty.openpty()
        self.resize(columns, lines)
        self.before = self.settings()
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            words,
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env={**environment, "TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self._inside = inside
        self.written = b""

    def settings(self) -> list[Any]:
        return termios.tcgetattr(self._fd)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, key: str) -> None:
        os.write(self._fd, key.encode())

    def screen(self) -> list[str]:
        """The latest drawing of the screen, as lines."""
        text = ESCAPES.sub(b"", self.written.rpartition(HOME)[2]).decode(errors="replace")
        return [line.rstrip() for line in text.splitlines()]

    def until(self, pattern: str) -> list[str]:
        """Read on until the screen shows this."""
        deadline = time.monotonic() + SHOWN_TIMEOUT_S
        while not re.search(pattern, "\n".join(self.screen())):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} was never shown: {self.screen()}"
            if select.select([self._fd], [], [], left)[0]:
                self.written += os.read(self._fd, 65536)
        return self.screen()

    def end(self) -> bytes:
        """What is written until the program has ended."""
        deadline = time.monotonic() + SHOWN_TIMEOUT_S
        rest = b""
        # Read all the while: a program whose terminal is full waits, and never ends.
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it has not ended: {self.screen()}"
            if select.select([self._fd], [], [], 0.05)[0]:
                rest += os.read(self._fd, 65536)
        while select.select([self._fd], [], [], 0)[0]:
            rest += os.read(self._fd, 65536)
        return rest

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._inside)
        os.close(self._fd)


@pytest.fixture
def right(pair: tuple[str, str]) -> str:
    """A namespace whose v0 has an FSU that has seen a flow."""
    left, there = pair
    assert fsu("attach", "v0", "--netns", there).returncode == 0
    ping(left, RIGHT)
    return there


@contextmanager
def top(columns: int, lines: int) -> Iterator[Terminal]:
    made = Terminal((*PROGRAM, "fsu", "top", "v0", "--interval", "0.2"), columns, lines)
    try:
        yield made
    finally:
        made.close()


def test_keys_sizes_and_an_end_that_leaves_the_terminal_as_it_was(right: str) -> None:
    flow = re.escape(f"icmp {LEFT} > {RIGHT}")
    with top(150, 24) as terminal:
        screen = terminal.until(flow)
        assert "q ends, < > sort, r reverse, a active only" in screen[1]
        assert f"{right}/v0" in "".join(screen)
        assert "rate*" in screen[2]
        assert not any("…" in line for line in screen)
        for key, shown in ((">", r"RTT\*"), ("<", r"rate\*"), ("r", "by rate reversed")):
            terminal.press(key)
            terminal.until(shown)
        terminal.press("a")
        terminal.until("active within 2 s")
        terminal.press("a")
        terminal.resize(60, 10)
        # A wide screen says so, too: wait for one on which no line is longer than the terminal.
        narrow = r"(?:.{0,60}\n)*.{0,60}\Z"
        terminal.until(rf"\A(?=[\s\S]*no room for)(?=[\s\S]*{flow}){narrow}")
        check_end(terminal, lambda: terminal.press("\x03"))
    with top(80, 24) as terminal:
        terminal.until(flow)
        check_end(terminal, terminal.process.terminate)


def check_end(terminal: Terminal, end: Callable[[], None]) -> None:
    """However it ends: keys as before, the screen of before, a cursor."""
    assert terminal.settings() != terminal.before  # keys came singly
    end()
    rest = terminal.end()
    assert terminal.process.returncode == 0
    assert b"Traceback" not in rest
    assert ALTERNATE_OFF in rest
    assert CURSOR_ON in rest
    assert terminal.settings() == terminal.before

"""The live screen of `fsu top`: draws readings, waits for keys. It decides nothing."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from sentinel_sim.cli.termination import terminable
from sentinel_sim.fsu.keys import View
from sentinel_sim.fsu.rows import view_rows
from sentinel_sim.fsu.source import Reading
from sentinel_sim.fsu.table import WIDE, flow_table, hidden_words

HEAD_LINES = 4
"""Above the flows: summary, keys, names and units of the columns."""
KEYS = "q ends, < > sort, r reverse, a active only"


def render(reading: Reading, view: View, *, width: int, lines: int | None) -> Group:
    """One screen: summary, problems, and as many flows as there is room for."""
    rows = view_rows(reading.rows, view)
    limit = view.limit
    if lines is not None:
        room = max(1, lines - HEAD_LINES - len(reading.problems))
        limit = min(limit or room, room)
    drawn = rows[:limit]
    without = hidden_words(drawn, width)
    words = [
        f"{reading.units} FSU, {len(rows)} of {len(reading.rows)} lines",
        f"by {view.sort}{' reversed' if view.reverse else ''}",
        *([f"active within {view.active_s:g} s"] if view.active_s is not None else []),
        *([f"{len(rows) - len(drawn)} more below"] if len(drawn) < len(rows) else []),
        *([f"no room for: {without}"] if without else []),
    ]
    return Group(
        _line("  |  ".join(words)),
        _line(KEYS, "dim"),
        *(_line(problem, "red") for problem in reading.problems),
        flow_table(drawn, view.sort, width=width),
    )


def _line(text: str, style: str = "") -> Text:
    """One line of the screen, however narrow it is."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def run_screen(read: Callable[[], Reading], view: View, interval_s: float) -> None:
    """Read and draw every `interval_s` until a key, Ctrl-C or SIGTERM ends it.

    Where standard output is no terminal, tables follow one another, as in `top -b`.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    try:
        with terminable(), _keys() as keyboard:
            if console.is_terminal:
                _live(console, read, view, interval_s, keyboard)
            else:
                _batch(console, read, view, interval_s, keyboard)
    except KeyboardInterrupt:
        return


def _live(
    console: Console,
    read: Callable[[], Reading],
    view: View,
    interval_s: float,
    keyboard: int | None,
) -> None:
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            reading = read()
            due_s = time.monotonic() + interval_s
            while True:
                screen = render(reading, view, width=console.width, lines=console.height)
                live.update(screen, refresh=True)
                key = _wait_key(keyboard, due_s)
                if not key:
                    break
                changed = view.on_key(key)
                if changed is None:
                    return
                view = changed


def _batch(
    console: Console,
    read: Callable[[], Reading],
    view: View,
    interval_s: float,
    keyboard: int | None,
) -> None:
    while True:
        console.print(render(read(), view, width=console.width, lines=None))
        if _wait_key(keyboard, time.monotonic() + interval_s) in ("q", "Q"):
            return


@contextmanager
def _keys() -> Iterator[int | None]:
    """Single keys from the terminal, or None where there is none."""
    if not sys.stdin.isatty():
        yield None
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _wait_key(keyboard: int | None, due_s: float) -> str:
    """The next key, empty if none came before `due_s` (monotonic)."""
    readable = [] if keyboard is None else [keyboard]
    ready, _, _ = select.select(readable, [], [], max(0.0, due_s - time.monotonic()))
    return os.read(ready[0], 1).decode(errors="replace") if ready else ""

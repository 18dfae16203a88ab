"""What a long command shows of its progress: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text


class Line(Protocol):
    """Where a long command shows what it does; `StatusLine` for a terminal is one."""

    @property
    def is_live(self) -> bool:
        """What `show` changes is seen; else only what `say` prints."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(
        self,
        description: str | None = None,
        *,
        done: int | None = None,
        total: int | None = None,
        count: str | None = None,
        times: str | None = None,
    ) -> None:
        """Change what is shown; None leaves it as it is."""
        ...

    def say(self, text: str) -> None:
        """Show a line that stays."""
        ...


class StatusLine:
    """A context manager: what goes on, a bar, the step's number, and the times."""

    def __init__(self, console: Console, first: str) -> None:
        self._console = console
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[count]}"),
                TextColumn("{task.fields[times]}"),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task(first, total=None, count="", times="")

    @property
    def is_live(self) -> bool:
        """There is a bar; without one, only what `say` prints is seen."""
        return self._bar is not None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(
        self,
        description: str | None = None,
        *,
        done: int | None = None,
        total: int | None = None,
        count: str | None = None,
        times: str | None = None,
    ) -> None:
        """Change what the bar shows; None leaves it as it is. Does nothing without a bar."""
        if self._bar is not None:
            fields = self._bar.tasks[self._task].fields
            self._bar.update(
                self._task,
                description=description,
                completed=done,
                total=total,
                count=fields["count"] if count is None else count,
                times=fields["times"] if times is None else times,
            )

    def say(self, text: str) -> None:
        """Print a line that stays."""
        # Text: names and messages may hold square brackets, which are not markup.
        self._console.print(Text(text), soft_wrap=True)

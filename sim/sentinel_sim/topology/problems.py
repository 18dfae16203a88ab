"""What is wrong in a topology file, where, and how to say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentinel_sim.errors import TopologyError
from sentinel_sim.topology.units import shorten

KeyPath = tuple[str | int, ...]

MAX_SHOWN = 20
MAX_WORD = 40


def dotted(path: KeyPath) -> str:
    """`("links", 0, "rate")` is `links.0.rate`: the form that sweep keys have, too."""
    return ".".join(_word(part) for part in path)


def _word(part: str | int) -> str:
    """A part of a key as it may stand in a terminal: no control characters, not endless."""
    text = str(part)
    return text if text.isprintable() and len(text) <= MAX_WORD else shorten(text)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; `text` says what, got what, and the cure, in one line."""

    path: KeyPath
    text: str
    line: int | None = None
    """Counted from 1; None where the document did not come from a file."""

    def render(self, source: str) -> str:
        """`FILE:LINE: key.path: what, got what; cure`."""
        place = source if self.line is None else f"{source}:{self.line}"
        key = dotted(self.path)
        return f"{place}: {key}: {self.text}" if key else f"{place}: {self.text}"


class StructureError(ValueError):
    """The fields are right each, but do not fit together; carries every problem found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.text for problem in problems))
        self.problems = tuple(problems)


class TopologyFileError(TopologyError):
    """A topology file with everything that is wrong in it, one line each, in file order."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        ordered = sorted(problems, key=lambda problem: problem.line or 0)
        lines = [problem.render(source) for problem in ordered[:MAX_SHOWN]]
        if len(ordered) > MAX_SHOWN:
            lines.append(f"{source}: and {len(ordered) - MAX_SHOWN} more problems like these")
        super().__init__("\n".join(lines))
        self.source = source
        self.problems = tuple(ordered)

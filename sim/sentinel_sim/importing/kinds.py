"""What may be chosen among, apart from the graphs: the command line names it in its help."""

from __future__ import annotations

from enum import StrEnum


class Lengths(StrEnum):
    """Which length a link gets where the source has both."""

    COORDINATES = "coordinates"
    SOURCE = "source"


class Twins(StrEnum):
    """What becomes of parallel links."""

    BEST = "best"
    KEEP = "keep"

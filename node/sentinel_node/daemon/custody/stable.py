"""What makes a new file survive a crash of the machine."""

from __future__ import annotations

import os
from pathlib import Path


def sync_names(folder: Path) -> None:
    """The names of its files are on stable storage when this returns; see fsync(2), "Notes"."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

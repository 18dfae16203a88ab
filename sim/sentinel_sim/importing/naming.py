"""Names that our format allows, from labels in any script (pure)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from sentinel_sim.topology.fields import MAX_NAME

YAML_WORDS = frozenset({"true", "false", "null"})
"""In a list they would not be names."""


def tidy(label: str) -> str:
    """Lower case ASCII letters, digits and single '-', beginning with a letter."""
    folded = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", folded).strip("-")
    if not words or not words[0].isalpha():
        words = f"n{words}" if words else "node"
    if words in YAML_WORDS:
        words = f"node-{words}"
    return words[:MAX_NAME].rstrip("-")


def unique_names(labels: Iterable[str]) -> list[str]:
    """A name for each label, in order; equal ones are counted: `paris`, `paris-2`."""
    used: set[str] = set()
    names = []
    for label in labels:
        stem = name = tidy(label)
        count = 1
        while name in used:
            count += 1
            tail = f"-{count}"
            name = stem[: MAX_NAME - len(tail)].rstrip("-") + tail
        used.add(name)
        names.append(name)
    return names

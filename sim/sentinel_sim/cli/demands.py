"""`--require CLAIM[:ARM]`: which claims must hold, and what is said where they do not."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from sentinel_sim.cli import output
from sentinel_sim.errors import TopologyError
from sentinel_sim.evidence.registry import BY_ID
from sentinel_sim.evidence.verdict import demanded, unmet
from sentinel_sim.evidence.view import ARM_ORDER


def refuse_unknown(words: Sequence[str]) -> None:
    """Raise TopologyError for a claim or an arm that does not exist."""
    for one in words:
        try:
            _, arm = demanded(one)
        except KeyError as error:
            near = difflib.get_close_matches(str(error.args[0]), BY_ID, 1)
            raise TopologyError(
                f"--require {one}: no claim is named {error.args[0]!r}"
                + (f"; did you mean {near[0]}?" if near else ""),
                cure="one of: " + ", ".join(BY_ID),
            ) from None
        if arm is not None and arm not in ARM_ORDER:
            raise TopologyError(
                f"--require {one}: no arm is named {arm!r}", cure="one of: " + ", ".join(ARM_ORDER)
            )


def say_unmet(words: Sequence[str], result: Mapping[str, Any]) -> list[str]:
    """The demanded claims that do not hold in this result, told on standard error."""
    found = unmet(words, result["verdicts"])
    for line in found:
        output.say(f"sentinel-sim: demanded, and not so: {line}")
    return found

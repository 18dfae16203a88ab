"""Throw arbitrary control messages at a node: no crash, no change of state by a refused one.

    python -m benchmarks.fuzz_control [--inputs 1000000] [--seed 1] [--first 0] [--node cores]

A node with every core behind one authenticated stream (`--node daemon`: the daemon's own control
plane and flow sync, benchmarks/fuzzing/daemon.py) gets, in random turn: random bytes;
envelopes of the peer, damaged; replays; bodies that are damaged and then properly sealed (a
broken or captured peer that has the keys); and valid messages with values that may be old, too
large, of unknown flows or of another epoch. After each refusal the whole state is compared with
the one before, but for the counters of refusals. Ends with 1 and the input, if one breaks that.

`--first N` begins at input N of the same stream of inputs, to split a run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Protocol

from benchmarks.fuzzing.cores import FuzzNode
from benchmarks.fuzzing.daemon import DaemonNode
from benchmarks.fuzzing.messages import damage, random_message

from sentinel_node.core.control.codec import encode
from sentinel_node.core.control.endpoint import Endpoint
from sentinel_node.core.control.refusals import Refusal
from sentinel_node.core.control.sessions import Session


class Inputs:
    """Inputs that depend on seed and number only, and on the session they are sealed with."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._kept: list[bytes] = []

    def make(self, number: int, peer: Session) -> tuple[str, bool, bytes]:
        """(kind, whether its tag is right, the envelope)."""
        rng = Random(self._seed * 1_000_003 + number)
        draw = rng.random()
        if draw < 0.1:
            return "noise", False, rng.randbytes(rng.randrange(120))
        if draw < 0.2 and self._kept:
            return "replay", False, rng.choice(self._kept)
        message = random_message(rng)
        if draw < 0.4:
            return "damaged", False, damage(rng, peer.seal(message))
        if draw < 0.55:
            return "sealed-nonsense", True, peer.seal_body(damage(rng, encode(message)))
        sealed = peer.seal(message)
        if len(self._kept) < 500 or rng.random() < 0.01:
            self._kept = [*self._kept[-499:], sealed]
        return type(message).__name__, True, sealed


class Failure(Exception):
    """An input that broke the rule."""

    def __init__(self, number: int, kind: str, data: bytes, what: str) -> None:
        super().__init__(f"input {number} ({kind}): {what}")
        self.number = number
        self.kind = kind
        self.data = data
        self.what = what


class Target(Protocol):
    """A node behind one authenticated stream."""

    endpoint: Endpoint
    peer: Session

    def fingerprint(self) -> bytes:
        """Equal if and only if the state is, counters of refusals apart."""
        ...

    @property
    def window(self) -> int:
        """The largest sequence that was authentic."""
        ...


def run(
    inputs: int, seed: int, first: int = 0, target: Callable[[], Target] = FuzzNode
) -> tuple[Counter[str], Counter[str]]:
    """Feed so many inputs: (accepted by kind, refused by reason). Raises Failure.

    A fresh node every 2,000 inputs, so that states do not all end up finished or of epoch 3.
    """
    accepted: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for start in range(first, first + inputs, 2000):
        node, made = target(), Inputs(seed)
        before = node.fingerprint()
        for number in range(start, min(start + 2000, first + inputs)):
            kind, authentic, data = made.make(number, node.peer)
            window = node.window
            try:
                result = node.endpoint.receive(data, now_ns=number)
            except Exception as error:
                raise Failure(number, kind, data, f"crash: {error!r}") from error
            if not isinstance(result, Refusal):
                accepted[kind] += 1
                before = node.fingerprint()
                continue
            refused[result.reason] += 1
            if node.fingerprint() != before:
                raise Failure(number, kind, data, f"state changed by a refusal: {result}")
            if not authentic and node.window != window:
                raise Failure(number, kind, data, "replay window moved by what has no right tag")
    return accepted, refused


async def _run(options: argparse.Namespace) -> tuple[Counter[str], Counter[str]]:
    """The daemon's parts want an event loop; they are never waited for."""
    if options.node == "cores":
        return run(options.inputs, options.seed, options.first)
    return run(options.inputs, options.seed, options.first, DaemonNode)


def main(argv: list[str]) -> int:
    """Run, and print what was accepted and refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--node", choices=("cores", "daemon"), default="cores")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    began = time.perf_counter()
    try:
        accepted, refused = asyncio.run(_run(options))
    except Failure as failure:
        sys.stderr.write(
            f"input {failure.number} ({failure.kind}) of seed {options.seed}: {failure.what}\n"
            f"{failure.data.hex()}\n"
        )
        return 1
    seconds = time.perf_counter() - began
    figures = {
        "inputs": options.inputs,
        "node": options.node,
        "seed": options.seed,
        "first": options.first,
        "seconds": round(seconds, 1),
        "accepted": dict(accepted.most_common()),
        "refused": dict(refused.most_common()),
    }
    sys.stdout.write(json.dumps(figures, indent=None if options.json else 2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

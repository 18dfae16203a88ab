"""Long walks through the chain from fixed seeds, and that they would catch ledgers that lie.

The generated scenarios of test_chain look for the unexpected. These are the same every time: what
they catch today they catch in every clone.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from tests.unit.node.custody.chain import Chain

from sentinel_node.core.control.custody_messages import CustodyAck, ResumePoint
from sentinel_node.core.custody.delivery import DeliveryLedger
from sentinel_node.core.custody.effects import Confirm, Effect, Release, ResumeFrom
from sentinel_node.core.custody.source import SourceLedger
from sentinel_node.core.custody.store import CustodyStore

WALKS = 300
STEPS = 100


def step(chain: Chain, rng: Random) -> None:
    """One random event; data moves more often than processes die."""
    link, count = rng.randrange(3), rng.randint(1, 20)

    def pass_on() -> None:
        chain.send(link, count)
        chain.receive(link)

    moves: list[tuple[int, Callable[[], None]]] = [
        (5, lambda: chain.write(count)),
        (12, pass_on),
        (2, lambda: chain.send(link, count)),
        (3, lambda: chain.receive(link)),
        (3, lambda: chain.resend(link, count)),
        (4, lambda: chain.sync(rng.randint(1, 2))),
        (6, lambda: chain.say(rng.randint(1, 3))),
        (1, lambda: chain.crash(rng.randrange(4))),
        (2, lambda: chain.resume(rng.choice((1, 2)) if chain.failed else rng.choice((0, 0, 1, 2)))),
    ]
    if chain.acks:
        newest = len(chain.acks) - 1
        moves.append((7, lambda: chain.hear(newest)))
        moves.append((3, lambda: chain.hear(rng.randint(0, newest))))
    weights = [weight for weight, _ in moves]
    rng.choices([move for _, move in moves], weights)[0]()


def walk(seed: int) -> Chain:
    """One walk to its end; raises where something does not hold."""
    rng = Random(seed)
    chain = Chain(
        rng.randbytes(rng.randint(1, 90)),
        replayable=rng.random() < 0.5,
        durable=rng.random() < 0.5,
        release=rng.choice(list(Release)),
        capacity=rng.randint(8, 40),
    )
    chain.resume(0)
    for _ in range(STEPS):
        step(chain, rng)
        chain.check()
    chain.drain()
    assert len(chain.file) >= chain.confirmed
    if chain.replayable or not chain.source_died:
        assert bytes(chain.file) == chain.payload
        assert chain.source.completed
    return chain


def test_no_walk_loses_what_was_confirmed() -> None:
    chains = [walk(seed) for seed in range(WALKS)]
    # The walks do reach what they are for.
    assert sum(chain.confirmed > 0 for chain in chains) > WALKS // 2
    assert sum(chain.source_died for chain in chains) > WALKS // 3
    assert any(chain.failed for chain in chains)
    assert any(chain.receiver.duplicate_bytes for chain in chains)


def _confirms_what_may_be_lost(self: SourceLedger) -> tuple[Effect, ...]:
    if self._custody <= self._confirmed:
        return ()
    self._confirmed = self._custody
    return (Confirm(self._confirmed),)


def _frees_on_custody(self: CustodyStore, peer: str, ack: CustodyAck) -> tuple[Effect, ...]:
    held = self._flows.get(ack.flow_id)
    return self._free(held, ack.offset) if held and ack.transfer_epoch == held.epoch else ()


def _keeps_duplicates(
    self: DeliveryLedger, transfer_epoch: int, offset: int, length: int
) -> tuple[int, int]:
    return offset, offset + length


def _resumes_where_it_was(self: SourceLedger, peer: str, point: ResumePoint) -> tuple[Effect, ...]:
    return (ResumeFrom(self._sent, 0),)


@pytest.mark.parametrize(
    ("ledger", "name", "lie"),
    [
        (SourceLedger, "_confirm", _confirms_what_may_be_lost),
        (CustodyStore, "on_custody", _frees_on_custody),
        (DeliveryLedger, "admit", _keeps_duplicates),
        (SourceLedger, "on_resume_point", _resumes_where_it_was),
    ],
)
def test_the_walks_catch_a_ledger_that_lies(
    ledger: type, name: str, lie: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, name, lie)
    caught = 0
    for seed in range(WALKS):
        try:
            walk(seed)
        except (AssertionError, KeyError, ValueError):
            caught += 1
        if caught == 3:  # not by one lucky walk
            return
    raise AssertionError(f"caught by {caught} of {WALKS} walks")

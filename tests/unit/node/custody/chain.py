"""A whole chain on the real ledgers, in which anything may die at any time.

Sender, two relays and receiver, with the connections between them; the bytes really move. What a
process had in memory dies with it, what was written to disk stays. Acknowledgements may come
late, twice, in any order, or never. `confirmed` is kept outside, as an application would.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sentinel_node.core.control.custody_messages import (
    CustodyAck,
    CustodyReason,
    CustodyRefusal,
    DeliveredAck,
    ResumePoint,
    ResumeQuery,
)
from sentinel_node.core.control.refusals import Refusal
from sentinel_node.core.custody.delivery import DeliveryLedger
from sentinel_node.core.custody.effects import CannotResume, Confirm, Free, Release
from sentinel_node.core.custody.running_hash import RunningHash
from sentinel_node.core.custody.source import SourceLedger
from sentinel_node.core.custody.store import CustodyStore, Taken

FLOW = 7
BLOCK = 8
NAMES = ("sender", "r1", "r2", "receiver")


@dataclass
class Relay:
    """A relay process and its disk."""

    index: int
    durable: bool
    release: Release
    capacity: int
    store: CustodyStore = field(init=False)
    data: dict[int, int] = field(default_factory=dict)
    disk: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.store = CustodyStore(
            NAMES[self.index],
            capacity_bytes=self.capacity,
            flows_max=1,
            downstream=NAMES[self.index + 1],
            release=self.release,
            block_bytes=BLOCK,
        )
        self.data = dict(self.disk)

    def kept(self) -> tuple[int, int] | None:
        return (min(self.disk), max(self.disk) + 1) if self.disk else None

    def free(self, start: int, end: int) -> None:
        for offset in range(start, end):
            self.data.pop(offset, None)
            self.disk.pop(offset, None)

    @property
    def is_open(self) -> bool:
        return FLOW in self.store.flows


class Chain:
    """sender > r1 > r2 > receiver."""

    def __init__(
        self, payload: bytes, *, replayable: bool, durable: bool, release: Release, capacity: int
    ) -> None:
        self.payload, self.replayable, self.release = payload, replayable, release
        self.relays = [Relay(i, durable, release, capacity) for i in (1, 2)]
        self.file = bytearray()
        self.position = 0
        self.confirmed = 0
        self.epoch = 0
        self.links: list[list[tuple[int, int, bytes]]] = [[], [], []]
        self.up = [False, False, False]
        self.acks: list[tuple[int, CustodyAck | DeliveredAck]] = []
        self.failed: CannotResume | None = None
        self.source_died = False
        self.start_source()
        self.start_receiver()

    # -- processes ---------------------------------------------------------------------------

    def start_source(self) -> None:
        self.source = SourceLedger(
            FLOW,
            next_hop="r1",
            receiver="receiver",
            replayable=self.replayable,
            release=self.release,
            transfer_epoch=max(self.epoch, 1),
            position=0 if self.replayable else self.position,
        )
        self.hash = RunningHash(block_bytes=BLOCK)
        self.ended = False
        self.retained: dict[int, int] = {}

    def start_receiver(self) -> None:
        self.receiver = DeliveryLedger(
            FLOW, "receiver", transfer_epoch=max(self.epoch, 1), block_bytes=BLOCK
        )
        self.receiver.on_delivered(self.file)

    def crash(self, index: int) -> None:
        """kill -9 and start again; connections at both sides break, bytes on them are lost."""
        for link in (index - 1, index):
            if 0 <= link < 3:
                self.up[link] = False
                self.links[link].clear()
        if index == 0:
            self.source_died = True
            self.start_source()
        elif index == 3:
            self.start_receiver()
        else:
            self.relays[index - 1].start()

    # -- resume ------------------------------------------------------------------------------

    def resume(self, index: int) -> None:
        """Node `index` begins a new attempt along everything downstream of it."""
        self.epoch += 1
        for link in range(max(index - 1, 0), 3):
            self.up[link] = False
            self.links[link].clear()
        answer = self.receiver.on_resume(ResumeQuery(FLOW, max(self.epoch, 1)))
        assert isinstance(answer, ResumePoint)
        for number in range(2, max(index, 1) - 1, -1):
            relay = self.relays[number - 1]
            kept = None if relay.is_open else relay.kept()
            effects = relay.store.open(FLOW, answer, kept=kept)
            if isinstance(effects, CustodyRefusal):
                assert effects.reason is CustodyReason.FINISHED
                self.tell_finished(index, relay.store.finished(FLOW, self.epoch))
                return
            for effect in effects:
                assert not isinstance(effect, CannotResume), effect
                if isinstance(effect, Free):
                    relay.free(effect.start, effect.end)
            answer = relay.store.resume_point(FLOW)
            self.up[number] = True
        if index == 0:
            self.resume_source(answer)

    def tell_finished(self, index: int, ack: DeliveredAck | None) -> None:
        """Downstream is complete: whoever asked hears so, in the attempt that it began."""
        assert ack is not None
        if index == 0 and not self.failed:
            if self.epoch > self.source.transfer_epoch:
                self.source.begin_resume(self.epoch)
            if self.replayable and not self.ended:
                position = self.source.unsent()[1]
                self.hash = RunningHash(block_bytes=BLOCK)
                self.hash.update(self.payload[:position])
                self.write(len(self.payload))
            self.acks.append((0, ack))
            self.hear(len(self.acks) - 1)

    def resume_source(self, point: ResumePoint) -> None:
        if self.epoch > self.source.transfer_epoch:
            self.source.begin_resume(self.epoch)
        effects = self.source.on_resume_point("r1", point)
        assert not isinstance(effects, Refusal), effects
        if self.source.completed:
            return
        if isinstance(effects[0], CannotResume):
            assert not self.replayable
            self.failed = effects[0]
            return
        self.up[0] = True
        if self.replayable:
            reread = RunningHash(block_bytes=BLOCK)
            written = self.source.unsent()[1]
            self.source.on_reread(reread.update(self.payload[:written]))
            if self.position < written or self.hash.offset != written:
                self.hash, self.position = reread, written

    # -- the sender --------------------------------------------------------------------------

    def write(self, count: int) -> None:
        """Read the source, at most `count` bytes."""
        position = self.source.unsent()[1]
        if self.failed or (self.hash.offset != position and not self.replayable):
            return  # a pipe whose reader died: nobody knows its hash any more
        data = self.payload[position : position + count]
        if data:
            self.retained.update(enumerate(data, position))
            self.source.on_written(len(data), self.hash.update(data))
            self.position = position + len(data)
        if not self.ended and self.hash.offset == len(self.payload):
            self.ended = True
            self.source.on_source_end(self.hash.finish())

    def resend(self, link: int, back: int) -> None:
        """Hand bytes over once more that this attempt has sent already."""
        relay = self.relays[link - 1] if link else None
        if not self.up[link] or (relay is not None and not relay.is_open):
            return
        end = (relay.store.unsent(FLOW) if relay else self.source.unsent())[0]
        held = relay.data if relay else self.retained
        start = max(end - back, relay.store.span(FLOW)[0] if relay else 0)
        if all(offset in held for offset in range(start, end)) and start < end:
            ledger = relay.store.resume_point(FLOW) if relay else self.source
            data = bytes(held[offset] for offset in range(start, end))
            self.links[link].append((ledger.transfer_epoch, start, data))

    def send(self, link: int, count: int) -> None:
        """Hand bytes to the connection."""
        if not self.up[link]:
            return
        relay = self.relays[link - 1] if link else None
        if relay is not None and not relay.is_open:
            return
        start, end = relay.store.unsent(FLOW) if relay else self.source.unsent()
        end = min(end, start + count)
        held = relay.data if relay else self.retained
        if relay is None and self.replayable:
            held = dict(enumerate(self.payload))
        data = bytes(held[offset] for offset in range(start, end))
        if not data:
            return
        epoch = (
            relay.store.resume_point(FLOW).transfer_epoch if relay else self.source.transfer_epoch
        )
        self.links[link].append((epoch, start, data))
        if relay:
            relay.store.on_sent(FLOW, len(data))
        else:
            self.source.on_sent(len(data))

    # -- relays and receiver -----------------------------------------------------------------

    def receive(self, link: int) -> None:
        """The node behind the link reads what came first."""
        if not self.links[link] or not self.up[link]:
            return
        epoch, offset, data = self.links[link][0]
        if link == 2:
            admitted = self.receiver.admit(epoch, offset, len(data))
            assert not isinstance(admitted, CustodyRefusal), admitted
            new = data[admitted[0] - offset : admitted[1] - offset]
            self.file += new
            self.receiver.on_delivered(new)
            self.links[link].pop(0)
            return
        relay = self.relays[link]
        taken = relay.store.offer(FLOW, epoch, offset, len(data))
        if isinstance(taken, CustodyRefusal):
            if taken.reason is CustodyReason.FINISHED:
                self.links[link].pop(0)
                return
            assert taken.reason is CustodyReason.STORE_FULL, taken
            return  # backpressure: the bytes wait in the connection
        assert isinstance(taken, Taken)
        relay.data.update(enumerate(data[taken.start - offset : taken.end - offset], taken.start))
        left = data[taken.end - offset :]
        self.links[link].pop(0)
        if left:
            self.links[link].insert(0, (epoch, taken.end, left))

    def sync(self, index: int) -> None:
        """The relay's fsync returns."""
        relay = self.relays[index - 1]
        if relay.durable and relay.is_open:
            relay.disk = dict(relay.data)
            relay.store.on_synced(FLOW, relay.store.span(FLOW)[1])

    def say(self, index: int) -> None:
        """A node says what it answers for; it may arrive any time, or never."""
        if index == 3:
            self.end_if_complete()
            self.acks.append((2, self.receiver.ack()))
        elif self.relays[index - 1].is_open:
            relay = self.relays[index - 1]
            self.acks.append((index - 1, relay.store.ack(FLOW, durable=relay.durable)))

    def end_if_complete(self) -> None:
        if len(self.file) == len(self.payload) and not self.receiver.complete:
            final = RunningHash(block_bytes=BLOCK)
            final.update(self.payload)
            assert self.receiver.on_end(final.finish()) == ""

    def hear(self, number: int) -> None:
        """Acknowledgement `number` of all that were ever given arrives (again)."""
        index, ack = self.acks[number]
        speaker = NAMES[index + 1]
        if index == 0:
            ledger = self.source
            hear = ledger.on_custody if isinstance(ack, CustodyAck) else ledger.on_delivered
            effects = hear(speaker, ack)  # type: ignore[arg-type]
            for effect in () if isinstance(effects, Refusal) else effects:
                if isinstance(effect, Confirm):
                    self.confirmed = max(self.confirmed, effect.offset)
                if isinstance(effect, Free):
                    for offset in range(effect.start, effect.end):
                        self.retained.pop(offset, None)
            return
        relay = self.relays[index - 1]
        if isinstance(ack, CustodyAck):
            effects = relay.store.on_custody(speaker, ack)
        else:
            effects = relay.store.on_delivered(speaker, ack)
            if not isinstance(effects, Refusal):
                self.acks.append((index - 1, ack))
        for effect in () if isinstance(effects, Refusal) else effects:
            if isinstance(effect, Free):
                relay.free(effect.start, effect.end)

    # -- what must hold ----------------------------------------------------------------------

    def check(self) -> None:
        assert self.payload.startswith(self.file)
        held = self.retained.keys() | self.relays[0].data.keys() | self.relays[1].data.keys()
        for offset in range(len(self.file), self.confirmed):
            assert self.replayable or offset in held, f"byte {offset} was confirmed and is lost"
        for relay in self.relays:
            assert relay.store.held_bytes <= relay.capacity
            if relay.is_open:
                base, end = relay.store.span(FLOW)
                assert all(offset in relay.data for offset in range(base, end))
        assert self.source.exposure_bytes >= 0

    def drain(self) -> None:
        """Everybody lives and is reachable: run to the end."""
        for index in (2, 1, 0) if not self.failed else (2, 1):
            self.resume(index)
        if not self.failed and not self.up[0]:
            self.resume(1)
        for _ in range(40 * len(self.payload) + 40):
            self.write(64)
            for link in range(3):
                self.send(link, 64)
                self.receive(link)
            first = len(self.acks)
            self.say(3)
            while first < len(self.acks):
                self.hear(first)
                first += 1
            self.check()
            if self.source.completed:
                break

"""Three nodes in a row with flow sync, without a daemon, and every message under way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sentinel_node.core.control.codec import Message
from sentinel_node.core.control.messages import (
    FlowPhase,
    FlowState,
    PathHop,
    PathMetadata,
)
from sentinel_node.core.control.refusals import Refusal
from sentinel_node.core.sync.announcement import Announced
from sentinel_node.core.sync.exchange import FlowExchange
from sentinel_node.core.sync.flow_log import NO_PAYLOAD
from sentinel_node.core.sync.telling import Neighbourhood
from sentinel_node.daemon.control.slope import make_slope

MS = 1_000_000
NAMES = ("a", "b", "c")
FLOWS_MAX = 4
INTERVAL_NS = 10 * MS
SILENCE_NS = 500 * MS
RATE_BPS = 1_000_000
LINKS = (("a", "b"), ("b", "a"), ("b", "c"), ("c", "b"))


@dataclass
class Hooked:
    """What a node was told to get ready for."""

    state: FlowState
    path: PathMetadata


class Net:
    """Three nodes in a row, and every message that is under way, by link."""

    def __init__(self, flows_max: int = FLOWS_MAX) -> None:
        self.now_ns = 1000 * MS
        self.flows_max = flows_max
        self.epochs = dict.fromkeys(NAMES, 1)
        self.wires: dict[tuple[str, str], list[Message]] = {link: [] for link in LINKS}
        self.came: dict[tuple[str, str], list[Message]] = {link: [] for link in LINKS}
        self.nodes: dict[str, FlowExchange] = {}
        self.hooked: dict[str, list[Hooked]] = {}
        self.totals: dict[int, int] = {}
        for name in NAMES:
            self.begin(name)

    def begin(self, name: str) -> None:
        """A node without any memory, in its present epoch."""
        around = Neighbourhood(
            name,
            self.epochs[name],
            tuple(to for source, to in LINKS if source == name),
            lambda peer, message: self.wires[name, peer].append(message),
            lambda peer: None,
        )
        self.nodes[name] = FlowExchange(around, self.flows_max, make_slope)
        heard = self.hooked[name] = []
        self.nodes[name].on_flow(lambda state, path: heard.append(Hooked(state, path)))

    def restart(self, name: str) -> None:
        self.epochs[name] += 1
        self.begin(name)
        for source, to in LINKS:
            if name in (source, to):
                self.up(source, to)

    def up(self, source: str, to: str) -> None:
        """A stream stands anew, as `source` sees it."""
        self.nodes[source].telling.on_up(to)

    def pump(self, source: str, to: str, limit: int = 10_000) -> int:
        """Have so many waiting messages sent; gives how many there were."""
        for count in range(limit):
            message = self.nodes[source].telling.next_message(to)
            if message is None:
                return count
            self.wires[source, to].append(message)
        return limit

    def deliver(self, source: str, to: str) -> Any:  # noqa: ANN401
        """The message that left first arrives."""
        message = self.wires[source, to].pop(0)
        self.came[source, to].append(message)
        return self.receive(source, to, message)

    def receive(self, source: str, to: str, message: Message) -> Any:  # noqa: ANN401
        return self.nodes[to].routes[type(message)](source, message, self.now_ns)

    def settle(self) -> None:
        """A good channel, until nothing is left to say."""
        for _ in range(100):
            sent = sum(self.pump(*link) for link in LINKS)
            under_way = sum(map(len, self.wires.values()))
            for link in LINKS:
                while self.wires[link]:
                    self.deliver(*link)
            if not sent and not under_way:
                return
        raise AssertionError("they never stop talking")

    def announce(self, flow_id: int, *, bound: int = 10_000) -> FlowState | Refusal:
        origin = self.nodes["a"]
        hops = tuple(PathHop(name, MS, 8 * RATE_BPS) for name in NAMES)
        state = FlowState(
            flow_id,
            "a",
            origin.version(),
            FlowPhase.PREDICTED,
            self.now_ns,
            0,
            RATE_BPS,
            error_bound_bytes=bound,
            max_silence_ns=SILENCE_NS,
            peak_rate_Bps=RATE_BPS,
        )
        flow = Announced(state, PathMetadata(flow_id, state.version, hops), INTERVAL_NS)
        told = origin.announce(flow, lambda: self.totals[flow_id], now_ns=self.now_ns)
        if isinstance(told, FlowState):
            self.totals[flow_id] = 0
        return told

    def finish(self, flow_id: int) -> None:
        self.nodes["a"].finish(flow_id, self.totals[flow_id], NO_PAYLOAD, now_ns=self.now_ns)

    def views(self, name: str, flow_id: int) -> list[FlowState]:
        log = self.nodes[name].logs.get(flow_id)
        return [view.state for view in log.views] if log is not None else []

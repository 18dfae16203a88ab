"""The daemon's own control plane and flow sync as a target of benchmarks/fuzz_control.py.

Node b, with neighbours a (whose messages are made) and c. b sends flow 1 towards a, and has been
told of flow 2 from a towards c. No socket is opened: what the plane would do with a message that
came on a's stream is called directly. Needs a running event loop, which it never waits on.
"""

from __future__ import annotations

import io
import pickle

from benchmarks.fuzzing.cores import OWN, PEER, SECRET, StatePickler
from benchmarks.fuzzing.messages import FLOWS

from sentinel_node.core.control import messages as msg
from sentinel_node.core.control.endpoint import Endpoint
from sentinel_node.core.control.refusals import Refusal
from sentinel_node.core.control.sessions import Session
from sentinel_node.core.sync.announcement import Announced
from sentinel_node.daemon.control.flow_sync import FlowSync
from sentinel_node.daemon.control.plane import GrpcControlPlane
from sentinel_node.daemon.control.settings import ControlSettings, Neighbour

RATE_BPS = 10_000_000
INTERVAL_NS = 10_000_000


def _state(flow_id: int, origin: str, version: msg.Version) -> msg.FlowState:
    return msg.FlowState(
        flow_id, origin, version, msg.FlowPhase.PREDICTED, 0, 0, RATE_BPS,
        error_bound_bytes=RATE_BPS // 50, max_silence_ns=10**9, peak_rate_Bps=RATE_BPS,
    )  # fmt: skip


def _path(flow_id: int, nodes: str, version: msg.Version) -> msg.PathMetadata:
    hops = tuple(msg.PathHop(node, 10**6, 8 * RATE_BPS) for node in nodes)
    return msg.PathMetadata(flow_id, version, hops)


class DaemonNode:
    """Flow sync on a control plane, behind the stream of one neighbour."""

    def __init__(self) -> None:
        neighbours = (Neighbour("a", "127.0.0.1", 1), Neighbour("c", "127.0.0.1", 1))
        settings = ControlSettings("b", SECRET, neighbours, flows_max=FLOWS - 2)
        self.plane = GrpcControlPlane(settings, OWN.epoch)
        self.sync = FlowSync(self.plane, FLOWS - 2)
        self.endpoint = Endpoint(SECRET, OWN, self.plane._routes)
        self.endpoint.receive(Endpoint(SECRET, PEER, {}).hello(), now_ns=0)
        self.peer = Session(SECRET, own=PEER, peer=OWN)
        self._begin()

    def _begin(self) -> None:
        version = self.sync.version()
        own = Announced(_state(1, "b", version), _path(1, "ba", version), INTERVAL_NS)
        assert not isinstance(self.sync.announce(own, lambda: 0), Refusal)
        self.offered: list[msg.WindowOffer] = []
        self.sync.offers.expect(1, self.offered.append)
        told = msg.Version(2, 1)
        for message in (
            msg.Forecast(told, _state(2, "a", told)),
            _path(2, "abc", told),
        ):
            result = self.endpoint.receive(self.peer.seal(message), now_ns=0)
            assert not isinstance(result, Refusal), result

    def fingerprint(self) -> bytes:
        """All state but counters of refusals, and what merely says when something was heard."""
        sync = self.sync._core
        telling = sync.telling
        logs = {
            flow: (log.path, len(log.views), log.state, len(log.verdicts), log.final)
            for flow, log in sync.logs.items()
        }
        own = {flow: one.forecaster.state for flow, one in sync._own.items()}
        heard = {name: (p.heard_ns, p.epoch) for name, p in self.plane._peers.by_name.items()}
        flows = (sync._table, sync._book._paths, sync._replicas, sync._shares, sync._adviser)
        told = (telling._senders, telling._urgent)
        out = io.BytesIO()
        StatePickler(out, pickle.HIGHEST_PROTOCOL).dump(
            (flows, told, logs, own, heard, self.plane._peers.liveness, self.offered)
        )
        return out.getvalue()

    @property
    def window(self) -> int:
        """The largest sequence that was authentic; only authentic envelopes move it."""
        session = self.endpoint.session
        assert session is not None
        return session.highest_received

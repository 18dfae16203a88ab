"""A flow is predicted anew under way: its windows, buffers and pacing follow.

Only socket options are set, nothing waits: called on the event loop's thread, or by the thread
that makes the flow ready, whichever comes last. What was sent under the new prediction begins at
the total that was told with it; when that byte comes here is recorded beside the moment of the
change, so that a mid-flow adjustment has a lead time as those ahead of the first byte have.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel_node.core.control.messages import FlowPhase, FlowState, PathMetadata
from sentinel_node.core.start.buffer_plan import StartMode
from sentinel_node.core.start.outgoing import Outgoing, link_plan
from sentinel_node.daemon import sockets
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.starting import Prepared, host_limits, sending_profile
from sentinel_node.daemon.sockets import TcpProfile
from sentinel_node.errors import NodeError

if TYPE_CHECKING:
    from sentinel_node.daemon.run import NodeRun

WINDOW = "window, predicted anew"
SEND_BUFFER = "send buffer, predicted anew"


@dataclass(frozen=True, slots=True)
class Following:
    """One flow at this node, hop `here` of its path (0: the origin)."""

    prepared: Prepared
    path: PathMetadata
    here: int
    mode: StartMode

    def hear(self, run: NodeRun, state: FlowState) -> None:
        """Another rate is predicted; adjusted at once, or when the flow is ready."""
        run.preparations.predicted(self.prepared, state)
        self.follow(run)

    def follow(self, run: NodeRun) -> None:
        """Adjust to what was predicted since the flow was made ready, if anything was."""
        state = run.preparations.take_predicted(self.prepared)
        if state is None:
            return
        outgoing, connection = self.prepared.outgoing, self.prepared.connection
        try:
            if self.here:
                self._inward(run, state)
            if outgoing is not None and connection is not None:
                self._outward(run, state, outgoing, connection)
        except (NodeError, OSError) as error:
            run.event(f"flow {state.flow_id:016x}: not adjusted: {error}")

    def _inward(self, run: NodeRun, state: FlowState) -> None:
        prepared = self.prepared
        if prepared.window_fixed:
            return
        plan = link_plan(state, self.path, self.here, host_limits(), self.mode, None)
        window = prepared.window_clamp_bytes = plan.window_clamp_bytes
        if prepared.inward is not None:
            prepared.inward.change(lambda sock: sockets.hold_window(sock, window))
        run.preparations.adjusted(prepared, WINDOW, plan, offset_bytes(state))

    def _outward(
        self, run: NodeRun, state: FlowState, outgoing: Outgoing, connection: TrackedConnection
    ) -> None:
        plan = link_plan(state, self.path, self.here + 1, host_limits(), self.mode, outgoing.saved)
        profile = sending_profile(TcpProfile(), plan)

        def set_options(sock: socket.socket) -> None:
            sockets.apply_profile(sock, profile)

        if self.prepared.gate is not None:
            self.prepared.gate.limit(plan.pacing_Bps)
        if connection.change(set_options):
            run.preparations.adjusted(self.prepared, SEND_BUFFER, plan, offset_bytes(state))


def offset_bytes(state: FlowState) -> int:
    """Payload that was sent before this prediction was made."""
    return state.total_bytes if state.phase is FlowPhase.ACTIVE else 0

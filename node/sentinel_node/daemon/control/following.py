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

from sentinel_node.core.control.messages import FlowState, PathMetadata
from sentinel_node.core.start.adjustment import SEND_BUFFER, WINDOW, Anew
from sentinel_node.core.start.buffer_plan import BufferPlan, StartMode
from sentinel_node.daemon import sockets
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.starting import Prepared, host_limits, sending_profile
from sentinel_node.daemon.sockets import TcpProfile
from sentinel_node.errors import NodeError

if TYPE_CHECKING:
    from sentinel_node.daemon.run import NodeRun


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
        prepared, connection = self.prepared, self.prepared.connection
        try:
            anew = Anew.of(
                state,
                self.path,
                self.here,
                host_limits(),
                self.mode,
                prepared.outgoing if connection is not None else None,
                window_fixed=prepared.window_fixed,
            )
            if anew.window is not None:
                self._inward(run, anew.window, anew.offset_bytes)
            if anew.sending is not None and connection is not None:
                self._outward(run, anew.sending, anew.offset_bytes, connection)
        except (NodeError, OSError) as error:
            run.event(f"flow {state.flow_id:016x}: not adjusted: {error}")

    def _inward(self, run: NodeRun, plan: BufferPlan, offset_bytes: int) -> None:
        prepared = self.prepared
        window = prepared.window_clamp_bytes = plan.window_clamp_bytes
        if prepared.inward is not None:
            prepared.inward.change(lambda sock: sockets.hold_window(sock, window))
        run.preparations.adjusted(prepared, WINDOW, plan, offset_bytes)

    def _outward(
        self, run: NodeRun, plan: BufferPlan, offset_bytes: int, connection: TrackedConnection
    ) -> None:
        profile = sending_profile(TcpProfile(), plan)

        def set_options(sock: socket.socket) -> None:
            sockets.apply_profile(sock, profile)

        if self.prepared.gate is not None:
            self.prepared.gate.limit(plan.pacing_Bps)
        if connection.change(set_options):
            run.preparations.adjusted(self.prepared, SEND_BUFFER, plan, offset_bytes)

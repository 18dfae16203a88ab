"""The control plane over gRPC: accepts and dials neighbours, and keeps one session with each.

`run` owns every task and socket; when it returns there are none. Streams that a neighbour opened
and has not proved yet are few and short-lived; a proved one takes the place of its predecessor.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc

from sentinel_node.core.control.codec import Message
from sentinel_node.core.control.endpoint import Endpoint, Route
from sentinel_node.core.control.messages import NONCE_BYTES, Heartbeat, Hello, Version
from sentinel_node.core.control.sessions import PROTOCOL
from sentinel_node.core.health.detectors import jittered_interval_ns
from sentinel_node.daemon.control.dialling import Dialler
from sentinel_node.daemon.control.interface import (
    Handler,
    MessageT,
    PeerEvent,
    PeerHandler,
    PeerStatus,
    Unsubscribe,
)
from sentinel_node.daemon.control.peers import Peer, Peers
from sentinel_node.daemon.control.settings import ControlSettings
from sentinel_node.daemon.control.stream import HelloRefusedError, Stream
from sentinel_node.daemon.control.transport import (
    NODE_KEY,
    OPTIONS,
    Rpc,
    RpcTransport,
    bind,
    generic_handler,
    names_of,
    open_call,
    open_channel,
)
from sentinel_node.errors import AddressError

logger = logging.getLogger(__name__)

CANDIDATES_MAX = 8
"""Streams of one neighbour that may be open at once."""
OUTBOX_PER_FLOW = 4
"""Kinds of messages that may wait for one flow."""
OPEN_ROUND_TRIPS = 8
"""TCP, HTTP/2 and the hellos take four of a neighbour that is there."""
OPEN_SPARE_NS = 300_000_000
"""For both ends' own work, which may be much."""
NS_PER_S = 1e9


class GrpcControlPlane:
    """See `interface.ControlPlane`. `epoch` must be larger than that of any earlier one here."""

    def __init__(self, settings: ControlSettings, epoch: int) -> None:
        self._settings = settings
        self._epoch = epoch
        self._peers = Peers(settings, time.monotonic_ns)
        self._routes: dict[type[Any], Route] = {Heartbeat: self._on_heartbeat}
        self._source: Callable[[str], Message | None] = lambda peer: None
        self._stop = asyncio.Event()
        self._ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()
        self._jitter = random.Random(epoch)
        self.strangers = 0
        """Calls that named no neighbour of this node, or too many at once; refused."""

    @property
    def node(self) -> str:
        """This node's name."""
        return self._settings.node

    @property
    def epoch(self) -> int:
        """This incarnation."""
        return self._epoch

    @property
    def peers(self) -> Mapping[str, PeerStatus]:
        """The neighbours as they are now."""
        return self._peers.status()

    def trouble(self, name: str) -> str:
        """Why the last call to a neighbour came to nothing; "": none did."""
        return self._peer(name).trouble

    @property
    def mistakes(self) -> int:
        """Suspicions that ended with a heartbeat of the same incarnation."""
        return self._peers.liveness.mistakes

    @property
    def suspicions(self) -> int:
        """How often a neighbour was suspected."""
        return self._peers.liveness.suspicions

    def send(self, peer: str, message: Message) -> bool:
        """See ControlPlane."""
        stream = self._peer(peer).stream
        return stream is not None and stream.outbox.put(message)

    def handle(self, kind: type[MessageT], handler: Handler[MessageT]) -> Unsubscribe:
        """See ControlPlane."""
        if kind in self._routes:
            raise ValueError(f"{kind.__name__} has a handler already")
        self._routes[kind] = lambda peer, message, now_ns: handler(peer, message)

        def unsubscribe() -> None:
            self._routes.pop(kind, None)

        return unsubscribe

    def on_peer(self, handler: PeerHandler) -> Unsubscribe:
        """See ControlPlane."""
        return self._peers.subscribe(handler)

    def pull_from(self, source: Callable[[str], Message | None]) -> None:
        """Ask `source(peer)` for the next message whenever the stream has room; see `wake`."""
        self._source = source

    def wake(self, peer: str) -> None:
        """The source has something for `peer`. From any thread."""
        stream = self._peer(peer).stream
        if stream is not None:
            stream.wake()

    def replay(self, peer: str, share: float, seed: int) -> int:
        """A fault: send messages to `peer` again, after this share of them; 0 ends it.

        Gives how many were replayed to it so far. Raises ValueError for a node that is no
        neighbour, or a share that is none.
        """
        replayer = self._peer(peer).replayer
        replayer.set(share, seed)
        return replayer.replayed

    async def run(self) -> None:
        """Until `close`. Raises AddressError through `ready` if an address cannot be bound."""
        server = grpc.aio.server(options=OPTIONS)
        tasks: list[asyncio.Task[None]] = []
        try:
            server.add_generic_rpc_handlers((generic_handler(self._exchange),))
            port = self._bind(server)
            await server.start()
            async with asyncio.TaskGroup() as group:
                for peer in self._peers.by_name.values():
                    if peer.neighbour.address:
                        tasks.append(group.create_task(self._dial(peer)))
                tasks.append(group.create_task(self._watch()))
                self._ready.set_result(port)
                await self._stop.wait()
                for task in tasks:
                    task.cancel()
        except AddressError as error:
            self._ready.set_exception(error)
        finally:
            await server.stop(0)

    async def ready(self) -> int:
        """Wait until neighbours are accepted; gives the port (0 without a listener)."""
        return await asyncio.shield(self._ready)

    def close(self) -> None:
        """End every session; `run` returns soon."""
        self._stop.set()

    def _bind(self, server: grpc.aio.Server) -> int:
        port = self._settings.port
        for address in self._settings.listen:
            host = f"[{address}]" if ":" in address else address
            try:
                # With port 0 the first address chooses, the others follow.
                port = bind(server, f"{host}:{port}", self._settings.identity)
            except RuntimeError as error:
                raise AddressError(
                    f"control plane: cannot listen on {host}:{port}: {error}"
                ) from error
        return port

    def _peer(self, name: str) -> Peer:
        peer = self._peers.by_name.get(name)
        if peer is None:
            known = ", ".join(self._peers.by_name) or "none"
            raise ValueError(f"{name} is no neighbour of {self.node}; neighbours are: {known}")
        return peer

    def _stream(self, peer: Peer, rpc: Rpc) -> Stream:
        own = Hello(
            node=self.node,
            peer=peer.neighbour.name,
            epoch=self._epoch,
            nonce=os.urandom(NONCE_BYTES),
            protocol=PROTOCOL,
            max_flows=self._settings.flows_max,
        )
        name = peer.neighbour.name
        stream = Stream(
            RpcTransport(rpc),
            Endpoint(self._settings.secret, own, self._routes),
            outbox_limit=OUTBOX_PER_FLOW * self._settings.flows_max,
            source=lambda: self._source(name),
            beat=lambda: self._beat(peer),
            again=peer.replayer.after,
            on_confirmed=self._adopt,
            open_timeout_s=self._patience_ns(peer) / NS_PER_S,
        )
        peer.candidates.add(stream)
        return stream

    def _beat(self, peer: Peer) -> tuple[Message, float]:
        interval_ns = self._settings.heartbeat_ns
        peer.beats += 1
        wait_ns = jittered_interval_ns(
            interval_ns, self._settings.detector.multiplier, self._jitter.getrandbits(16)
        )
        stamp = Version(self._epoch, peer.beats)
        return Heartbeat(stamp, time.monotonic_ns(), interval_ns), wait_ns / NS_PER_S

    def _adopt(self, stream: Stream, hello: Hello) -> bool:
        adopted = self._peers.adopt(stream, hello)
        self._changed.set()
        peer = self._peers.by_name[hello.node]
        if adopted and peer.neighbour.address:
            for other in peer.candidates - {stream}:
                other.end()  # we called several times, and one is enough
        return adopted

    def _on_heartbeat(self, name: str, message: Heartbeat, now_ns: int) -> None:
        self._peers.on_heartbeat(name, message, now_ns)
        self._changed.set()

    async def _watch(self) -> None:
        """Call the detectors' timer when the first of them is due."""
        while True:
            deadline_ns = self._peers.liveness.next_deadline_ns()
            if deadline_ns is None:
                self._changed.clear()
                await self._changed.wait()
                continue
            left_ns = deadline_ns - time.monotonic_ns()
            if left_ns > 0:
                await asyncio.sleep(left_ns / NS_PER_S)
            else:
                self._peers.on_timer(time.monotonic_ns())

    async def _talk(self, peer: Peer, rpc: Rpc) -> None:
        """One stream from hello to end. Raises HelloRefusedError."""
        stream = self._stream(peer, rpc)
        detail = "the stream ended"
        try:
            await stream.run()
        except (ConnectionError, HelloRefusedError) as error:
            detail = str(error)
            if isinstance(error, HelloRefusedError):
                raise
        finally:
            self._peers.lost(peer.neighbour.name, stream, detail)

    async def _exchange(
        self, requests: object, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> None:
        """A neighbour calls."""
        del requests  # read through the context
        metadata = dict(context.invocation_metadata() or ())
        peer = self._peers.by_name.get(str(metadata.get(NODE_KEY, "")))
        proven = self._settings.identity is None or (
            peer is not None and peer.neighbour.name in names_of(context)
        )
        if peer is None or not proven or len(peer.candidates) >= CANDIDATES_MAX:
            self.strangers += 1
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such neighbour is expected")
            return
        try:
            await self._talk(peer, context)
        except HelloRefusedError as error:
            logger.warning("control: a call as %s was refused: %s", peer.neighbour.name, error)
            status = grpc.StatusCode.FAILED_PRECONDITION if error.is_version else _UNAUTHENTICATED
            await context.abort(status, str(error))

    async def _dial(self, peer: Peer) -> None:
        dialler = Dialler(
            peer, lambda: self._attempt(peer), share=lambda: self._jitter.uniform(0.5, 1.0)
        )

        def note(event: PeerEvent) -> None:
            if event.peer == peer.neighbour.name:
                dialler.on_change()

        end = self._peers.subscribe(note)
        try:
            await dialler.run()
        finally:
            end()

    async def _attempt(self, peer: Peer) -> None:
        before = peer.trouble
        try:
            await self._call(peer)
        except HelloRefusedError as error:
            logger.warning("control: %s refused: %s", peer.neighbour.name, error)
        if not peer.sessions and peer.trouble != before:
            logger.info("control: %s is not reached: %s", peer.neighbour.name, peer.trouble)

    def _patience_ns(self, peer: Peer) -> int:
        """How long a stream may take to prove itself. One that was there before is known to be
        quick; what takes longer meets a cut link, where another call is better."""
        known = peer.sessions and peer.neighbour.propagation_ns
        if not peer.neighbour.address or not known:
            return self._settings.open_timeout_ns
        quick_ns = OPEN_ROUND_TRIPS * 2 * peer.neighbour.propagation_ns + OPEN_SPARE_NS
        return min(quick_ns, self._settings.open_timeout_ns)

    async def _call(self, peer: Peer) -> None:
        channel = open_channel(peer.neighbour, self._settings.identity)
        try:
            call = open_call(channel, self.node)
            try:
                await self._talk(peer, call)
            finally:
                call.cancel()
        finally:
            await channel.close()


_UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED

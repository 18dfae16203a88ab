"""One round: transfers in several lanes, and faults among them, on the network that stands.

The faults come by the clock while every lane sends one transfer after the other. After the last
fault all are lifted, the supervisor goes on repairing, and each transfer is waited for. Then the
receiver's disk is held against what was confirmed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path

from sentinel_node.daemon.control.interface import control_flow_id
from sentinel_node.errors import NodeCallError
from sentinel_sim.backends.emulated.custody import resumptions
from sentinel_sim.backends.emulated.disruption import Disruption
from sentinel_sim.backends.emulated.scene import Scene
from sentinel_sim.campaign import drawing
from sentinel_sim.campaign.confirmations import ConfirmationLog
from sentinel_sim.campaign.feeding import payload
from sentinel_sim.campaign.flowing import flow_again_ns
from sentinel_sim.campaign.judging import Outcome, right_prefix
from sentinel_sim.campaign.lives import CampaignTraffic
from sentinel_sim.campaign.record import RoundRecord
from sentinel_sim.campaign.transfer import Transfer
from sentinel_sim.errors import EmulationError
from sentinel_sim.faults.events import FaultEvent
from sentinel_sim.plan.model import RunSpec

HEALED_PATIENCE_S = 60.0
"""After the last fault was lifted: for every transfer to end."""
KEPT_PATIENCE_S = 20.0
"""For what custodians hold of a transfer whose sender died to reach the receiver."""
LOOK_S = 0.05
GROWTH_S = 0.005
COLLECT_PATIENCE_S = 0.2
UNKNOWN_RUN = "NOT_FOUND"
"""Of a sender's daemon that was started anew, and got nothing to send since."""


@dataclass
class Round:
    """Prepare the scene for `spec` first, and open its control plane."""

    number: int
    spec: RunSpec
    scene: Scene
    lanes: int
    log: ConfirmationLog
    choice: random.Random
    _transfers: list[Transfer] = field(default_factory=list)
    _grew_ns: list[int] = field(default_factory=list)
    """When there was more on the receivers' disks; after the traffic's start."""

    def __post_init__(self) -> None:
        scene = self.scene
        self._traffic = CampaignTraffic(
            self.spec, scene.layout, scene.daemons.clients, scene.disk, is_alive=scene.daemons.lives
        )
        self._waiting = iter(zip(self.spec.flows, drawing.sources(self.choice), strict=False))
        self._healing = False

    async def run(self) -> RoundRecord:
        """Raises EmulationError where the network itself fails."""
        began_s = time.monotonic()
        targets = await self._traffic.prepare()
        disruption = self.scene.disruption(self.spec, self._traffic, controlled=True)
        await disruption.watch()
        lanes = [asyncio.ensure_future(self._lane(targets)) for _ in range(self.lanes)]
        start_ns = time.monotonic_ns()
        looking = asyncio.ensure_future(self._look_at_growth(start_ns))
        try:
            await disruption.begin(start_ns)
            await self._until_struck(disruption)
            self._healing = True
            looking.cancel()
            await asyncio.wait(lanes, timeout=HEALED_PATIENCE_S)
            await self._keep_promises()
            await self._until_well(disruption)
            outcomes = await asyncio.to_thread(lambda: tuple(self._outcomes()))
        finally:
            for task in (*lanes, looking):
                task.cancel()
            results = await asyncio.gather(*lanes, looking, return_exceptions=True)
            await disruption.end()
        for result in results:
            if isinstance(result, Exception):
                raise result
        return await self._record(disruption, outcomes, time.monotonic() - began_s)

    # -- what is sent ------------------------------------------------------------------------

    async def _lane(self, targets: dict[int, tuple[str, int]]) -> None:
        for flow, source in self._waiting:
            if self._healing:
                return
            sender = self.spec.paths[flow.path].nodes[0]
            data = payload(self.spec.seed & (2**63 - 1), flow.flow_id, flow.size_bytes or 0)
            fifo = f"{self.number}-{flow.flow_id}.pipe"
            transfer = Transfer(
                self._traffic,
                flow,
                source,
                targets[flow.path],
                data,
                self.scene.deployment.node_directory(sender) / fifo,
                partial(self.log.confirm, self.number, flow.flow_id),
            )
            self._transfers.append(transfer)
            await transfer.run()

    async def _until_struck(self, disruption: Disruption) -> None:
        """All faults have begun; then those that still last are lifted."""
        last_ns = max((fault.at_ns or 0) for fault in self.spec.faults)
        await asyncio.sleep(last_ns / 1e9)
        if disruption.injector is None:
            raise EmulationError(f"{self.spec.key}: no faults were prepared")
        while any(event.actual_ns is None for event in disruption.injector.events):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        await disruption.injector.finish()

    # -- what came of it ---------------------------------------------------------------------

    def _written(self, transfer: Transfer) -> Path:
        receiver = self.spec.paths[transfer.flow.path].nodes[-1]
        folder = Path(self.scene.disk.folder(self.spec, receiver))
        return folder / f"{control_flow_id(self.spec.key, transfer.flow.flow_id):016x}.payload"

    def _owed(self) -> Iterator[Transfer]:
        for transfer in self._transfers:
            path = self._written(transfer)
            there = path.stat().st_size if path.exists() else 0
            if there < transfer.confirmed_bytes:
                yield transfer

    async def _look_at_growth(self, start_ns: int) -> None:
        receivers = {path.nodes[-1] for path in self.spec.paths}
        folders = [Path(self.scene.disk.folder(self.spec, node)) for node in receivers]
        before = 0
        while True:
            sizes = (path.stat().st_size for folder in folders for path in folder.glob("*.payload"))
            if (now := sum(sizes)) > before:
                before = now
                self._grew_ns.append(time.monotonic_ns() - start_ns)
            await asyncio.sleep(GROWTH_S)

    def _flow_again(self, faults: Sequence[FaultEvent]) -> dict[int, int]:
        begun = sorted((one.actual_ns, one.index) for one in faults if one.actual_ns is not None)
        following = [at_ns for at_ns, _ in begun[1:]]
        found = {}
        for (at_ns, index), next_ns in zip_longest(begun, following):
            again_ns = flow_again_ns(self._grew_ns, at_ns, next_ns)
            if again_ns is not None:
                found[index] = again_ns
        return found

    async def _keep_promises(self) -> None:
        """Custodians deliver what they confirmed, whether the sender lives or not."""
        end_s = time.monotonic() + KEPT_PATIENCE_S
        while any(self._owed()) and time.monotonic() < end_s:  # noqa: ASYNC110  files tell nobody
            await asyncio.sleep(LOOK_S)

    async def _until_well(self, disruption: Disruption) -> None:
        """Every repair has ended; what the nodes know of this round can be read."""
        supervisor = disruption.supervisor
        end_s = time.monotonic() + HEALED_PATIENCE_S
        while supervisor is not None and not supervisor.is_idle:
            if time.monotonic() > end_s:
                raise EmulationError(f"{self.spec.key}: repairs did not end")
            await asyncio.sleep(LOOK_S)

    def _outcomes(self) -> Iterator[Outcome]:
        for transfer in self._transfers:
            path = self._written(transfer)
            written = path.read_bytes() if path.exists() else b""
            yield Outcome(
                round=self.number,
                flow_id=transfer.flow.flow_id,
                arm=self.spec.arm.value,
                source=transfer.source,
                size_bytes=len(transfer.data),
                confirmed_bytes=self.log.highest(self.number, transfer.flow.flow_id),
                written_bytes=len(written),
                right_bytes=right_prefix(written, transfer.data),
                complete=transfer.complete,
                error=transfer.error,
                sender_died=transfer.sender_died,
                lives=transfer.lives,
                seconds=transfer.seconds,
            )

    async def _record(
        self, disruption: Disruption, outcomes: tuple[Outcome, ...], seconds: float
    ) -> RoundRecord:
        reports, refused = {}, Counter[str]()
        for node, client in self.scene.daemons.clients.items():
            try:
                reports[node] = await client.collect(self.spec.key, wait_s=COLLECT_PATIENCE_S)
                for peer in (await client.read_control()).peers:
                    refused.update(peer.refused)
                await client.release(self.spec.key)
            except NodeCallError as error:
                if error.status != UNKNOWN_RUN:
                    raise EmulationError(f"{self.spec.key}: after all repairs {error}") from error
        self.scene.disk.clear()
        resumed = resumptions(reports, 0)
        return RoundRecord(
            outcomes=outcomes,
            labels=tuple(drawing.blow_of(fault).label for fault in self.spec.faults),
            faults=disruption.faults,
            repairs=tuple(disruption.repairs(resumed)),
            duplicate_bytes=sum(
                flow.custody.duplicate_bytes for reply in reports.values() for flow in reply.flows
            ),
            replayed_bytes=sum(one.replayed_bytes for one in resumed),
            resumptions=len(resumed),
            refused=refused,
            seconds=seconds,
            flow_again_ns=self._flow_again(disruption.faults),
        )

"""The whole campaign: the network is built once, then round follows round until it is enough."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.campaign import drawing
from sentinel_sim.campaign.confirmations import ConfirmationLog
from sentinel_sim.campaign.document import CAMPAIGN_FILE, CONFIRMED_FILE, document, injected
from sentinel_sim.campaign.drawing import Deck
from sentinel_sim.campaign.record import RoundRecord
from sentinel_sim.campaign.rounds import Round
from sentinel_sim.experiment.files import write_json
from sentinel_sim.experiment.interrupts import catching
from sentinel_sim.plan.model import Arm, Custody, RunSpec, WorkloadKind
from sentinel_sim.plan.seeds import derive, stream

FAULTS_A_ROUND = 15
LOGS = "logs"
"""Of all daemons, dead ones too."""
ROUNDS_IN_VAIN = 3
"""So many rounds without a fault that struck, and the campaign ends: it would never be enough."""


class Watcher(Protocol):
    """Who is told how far the campaign is."""

    def built(self) -> None:
        """The network stands."""
        ...

    def round_ended(self, record: RoundRecord, struck: int) -> None:
        """`struck`: faults so far."""
        ...

    def interrupted(self, signal_name: str, *, again: bool) -> None:
        """A signal came; the network is taken down."""
        ...


@dataclass(frozen=True)
class CampaignSettings:
    """What was asked for."""

    name: str
    base: RunSpec
    arms: tuple[Arm, ...]
    faults: int
    seed: int
    lanes: int
    calm_ns: int
    """Between one fault and the next, beside the drawn gap."""
    blows: tuple[drawing.Blow, ...]
    directory: Path
    environment: dict[str, Any]


Open = Callable[[RunSpec], AbstractAsyncContextManager[EmulatedBackend]]
"""Builds the network of a run."""


def run_campaign(settings: CampaignSettings, build: Open, watcher: Watcher) -> dict[str, Any]:
    """Gives the document, which is also written. Raises SimError."""
    with ConfirmationLog(settings.directory / CONFIRMED_FILE) as log:
        return asyncio.run(_Campaign(settings, build, watcher, log).run())


class _Campaign:
    def __init__(
        self, settings: CampaignSettings, build: Open, watcher: Watcher, log: ConfirmationLog
    ) -> None:
        self._settings = settings
        self._build = build
        self._watcher = watcher
        self._log = log
        self._choice = stream(settings.seed, "campaign")
        self._deck = Deck(settings.blows, self._choice)
        self._rounds: list[RoundRecord] = []
        self._environment = dict(settings.environment)

    async def run(self) -> dict[str, Any]:
        """Until enough faults struck, or a signal came: what was found then is kept."""
        signal_name: str | None = None
        with catching(
            lambda name, again: self._watcher.interrupted(name, again=again)
        ) as interrupts:
            try:
                await self._all_rounds()
            except asyncio.CancelledError:
                if interrupts.signal_name is None:
                    raise
                signal_name = interrupts.signal_name
        found = document(
            self._rounds,
            name=self._settings.name,
            seed=self._settings.seed,
            asked=self._settings.faults,
            interrupted=signal_name,
            environment=self._environment,
        )
        write_json(self._settings.directory / CAMPAIGN_FILE, found)
        return found

    async def _all_rounds(self) -> None:
        async with self._build(self._spec(0, 1)) as backend:
            self._environment["emulation"] = backend.environment()
            self._watcher.built()
            try:
                await self._enough_rounds(backend)
            finally:
                logs = backend.scene.daemons.log_directory
                shutil.copytree(logs, self._settings.directory / LOGS, dirs_exist_ok=True)

    async def _enough_rounds(self, backend: EmulatedBackend) -> None:
        in_vain = 0
        while (left := self._settings.faults - injected(self._rounds)) > 0:
            number = len(self._rounds)
            record = await self._round(backend, number, min(left, FAULTS_A_ROUND))
            self._rounds.append(record)
            in_vain = 0 if injected([record]) else in_vain + 1
            self._watcher.round_ended(record, injected(self._rounds))
            if in_vain == ROUNDS_IN_VAIN:
                return

    async def _round(self, backend: EmulatedBackend, number: int, faults: int) -> RoundRecord:
        spec = self._spec(number, faults)
        await backend.prepare(spec)
        control = backend.scene.control
        await control.open(spec)
        try:
            lanes, choice = self._settings.lanes, stream(spec.seed, "sources")
            return await Round(number, spec, backend.scene, lanes, self._log, choice).run()
        finally:
            await control.close()

    def _spec(self, number: int, faults: int) -> RunSpec:
        settings = self._settings
        arm = settings.arms[number % len(settings.arms)]
        seed = derive(settings.seed, "round", number)
        choice = stream(seed, "round")
        return replace(
            settings.base,
            key=f"campaign-{number}",
            arm=arm,
            seed=seed,
            workload=WorkloadKind.MANY,
            flows=drawing.draw_transfers(len(settings.base.paths), choice),
            faults=drawing.draw_faults(self._deck, faults, choice, settings.calm_ns),
            repair=True,
            custody=Custody.DURABLE,
        )

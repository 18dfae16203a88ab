"""A small fault campaign with real daemons: nothing that was confirmed is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.emulated.specs import line

from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.campaign.document import CAMPAIGN_FILE, CONFIRMED_FILE
from sentinel_sim.campaign.drawing import blows
from sentinel_sim.campaign.record import RoundRecord
from sentinel_sim.campaign.runner import CampaignSettings, run_campaign
from sentinel_sim.host.doctor import wire_backend
from sentinel_sim.plan.model import Arm

pytestmark = pytest.mark.lab

FAULTS = 6
RATE_BPS = 80_000_000


class Quiet:
    """A watcher that only counts."""

    def __init__(self) -> None:
        self.struck = 0

    def built(self) -> None: ...

    def round_ended(self, record: RoundRecord, struck: int) -> None:
        assert record.faults
        self.struck = struck

    def interrupted(self, signal_name: str, *, again: bool) -> None: ...


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    base = line(Arm.SPLIT, delay_ms=5, rate_bps=RATE_BPS)
    directory = tmp_path_factory.mktemp("campaign")
    settings = CampaignSettings(
        name="line",
        base=base,
        arms=(Arm.SPLIT,),
        faults=FAULTS,
        seed=3,
        lanes=3,
        calm_ns=0,
        blows=blows(base),
        directory=directory,
        environment={},
    )
    watcher = Quiet()
    options = EmulationOptions(wire_backend())
    document = run_campaign(settings, lambda spec: EmulatedBackend(spec, options), watcher)
    assert watcher.struck >= FAULTS
    return document, directory


def test_nothing_confirmed_is_lost_and_every_word_is_a_last_one(
    found: tuple[dict[str, Any], Path],
) -> None:
    document, _ = found
    assert document["problems"] == []
    assert document["valid"]
    assert document["bytes"]["confirmed_and_lost"] == 0
    assert document["bytes"]["confirmed"] > 0
    transfers = document["transfers"]
    assert transfers["failed_otherwise"] == []
    assert transfers["complete"] > 0
    assert 2 * transfers["from_pipes"] >= transfers["n"]


def test_it_is_all_on_disk(found: tuple[dict[str, Any], Path]) -> None:
    document, directory = found
    assert json.loads((directory / CAMPAIGN_FILE).read_text()) == json.loads(json.dumps(document))
    lines = [json.loads(one) for one in (directory / CONFIRMED_FILE).read_text().splitlines()]
    highest = {line["transfer"]: line["confirmed_bytes"] for line in lines if line["round"] == 0}
    for transfer in document["rounds"][0]["transfers"]:
        assert highest.get(transfer["flow_id"], 0) == transfer["confirmed_bytes"]
    assert {path.stem for path in (directory / "logs").iterdir()} == {"s", "m", "r"}

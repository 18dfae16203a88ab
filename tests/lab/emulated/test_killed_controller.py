"""A killed experiment: its network goes on without the FSU's hands, until `clean` takes it down."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sentinel_bpf import heart
from sentinel_bpf.bpffs import PinDirectory
from sentinel_bpf.flow_map import read_counters
from sentinel_bpf.unit import UnitRecord, read_records
from sentinel_sim.host import namespaces
from sentinel_sim.host.clean import clean
from sentinel_sim.host.commands import run_command
from sentinel_sim.host.release import RUN_ROOT

pytestmark = pytest.mark.lab

# Names of this process alone: another experiment may run on the host at the same time.
SENDER, RECEIVER = f"s{os.getpid()}", f"r{os.getpid()}"
TOPOLOGY = f"""
name: killed
nodes:
  {SENDER}: {{role: sender}}
  {RECEIVER}: {{role: receiver}}
links:
  - {{endpoints: [{SENDER}, {RECEIVER}], rate: 20 Mbit/s, queue: 1 bdp, delay_one_way: 10 ms}}
experiment:
  arms: [tuned]
  workload: {{kind: bulk, duration: 60 s}}
  repeat: {{min: 1, max: 1}}
  seed: 7
"""
PROGRAM = (sys.executable, "-c", "from sentinel_sim.cli.main import main; main()")
READY_TIMEOUT_S = 60.0
PINGS, INTERVAL_S = 300, 0.01
"""For three seconds: the dead heart has to be noticed within two."""


def namespace_of(node: str) -> str:
    (found,) = (n for n in namespaces.list_namespaces() if n.endswith(f"-{node}"))
    return found


@dataclass
class Experiment:
    """`sentinel-sim run` as a process, its traffic under way."""

    process: subprocess.Popen[str]
    record: UnitRecord
    """Of the FSU at the receiver."""

    def seen(self) -> dict[str, int]:
        with PinDirectory(Path(self.record.pins)).opened("fsu_counters", read_only=True) as fd:
            return read_counters(fd)

    def heart_is_stale(self) -> bool:
        with PinDirectory(Path(self.record.pins)).opened("fsu_heartbeat", read_only=True) as fd:
            return heart.read_heartbeat(fd).is_stale(time.monotonic_ns())


def receivers_record() -> UnitRecord | None:
    for directory in RUN_ROOT.glob("*/fsu"):
        for record in read_records(directory):
            if record.node == RECEIVER:
                return record
    return None


def until_traffic_runs(process: subprocess.Popen[str]) -> Experiment:
    """Wait until the FSU at the receiver has seen a thousand packets."""
    assert process.stderr is not None
    deadline = time.monotonic() + READY_TIMEOUT_S
    for line in process.stderr:
        if line.startswith("run 1 of 1"):
            break
    while time.monotonic() < deadline and process.poll() is None:
        record = receivers_record()
        if record is not None:
            made = Experiment(process, record)
            if made.seen()["flow4"] > 1000:
                return made
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
    raise AssertionError("the experiment sent nothing")


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    file = tmp_path / "killed.yaml"
    file.write_text(TOPOLOGY)
    process = subprocess.Popen(
        (*PROGRAM, "run", str(file), "--out", str(tmp_path / "results")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield until_traffic_runs(process)
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
        clean(dry_run=False)


def test_traffic_flows_on_as_bypassed_and_clean_takes_everything_away(
    experiment: Experiment,
) -> None:
    (address,) = json.loads(
        run_command(
            (
                "ip",
                "-n",
                namespace_of(RECEIVER),
                "-4",
                "-j",
                "addr",
                "show",
                "dev",
                experiment.record.ends[0].ifname,
            )
        ).stdout
    )
    target = address["addr_info"][0]["local"]
    assert experiment.seen()["bypassed"] == 0
    assert not experiment.heart_is_stale()

    experiment.process.send_signal(signal.SIGKILL)
    experiment.process.wait()
    before = experiment.seen()
    ping = ("ping", "-q", "-n", "-i", str(INTERVAL_S), "-c", str(PINGS), target)
    done = run_command(("ip", "netns", "exec", namespace_of(SENDER), *ping))
    assert f"{PINGS} received" in done.stdout, done.stdout + done.stderr
    after = experiment.seen()
    assert experiment.heart_is_stale()
    # One packet in 10 ms for three seconds, two of which may pass before the death is noticed.
    assert after["bypassed"] - before["bypassed"] >= PINGS // 3
    assert after["passed"] - before["passed"] >= PINGS

    run_id = experiment.record.owner
    shown = json.loads(run_command((*PROGRAM, "clean", "--json")).stdout)
    assert shown["failed"] == []
    assert not [n for n in namespaces.list_namespaces() if namespaces.run_id_of(n) == run_id]
    assert not (RUN_ROOT / run_id).exists()
    assert not Path(experiment.record.pins).exists()
    assert [item for item in clean(dry_run=True).found if item.run_id == run_id] == []

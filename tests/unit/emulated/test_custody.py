"""What nodes are told about custody, where they write, and to which repair a replay belongs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.emulated.specs import line

from sentinel_sim.backends.emulated import custody
from sentinel_sim.faults.events import RepairEvent, Resumption, with_replays
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.model import Arm, Custody
from sentinel_sim.topology.reader import loads

MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
tmpfs /var tmpfs rw 0 0
/dev/vdb /var/tmp xfs rw 0 0
tmpfs /run tmpfs rw 0 0
"""
FILE = """\
name: x
nodes: {s: {role: sender}, m: {role: intermediate}, r: {role: receiver}}
defaults: {links: {rate: 10 Mbit/s, queue: 1 bdp, delay_one_way: 1 ms}}
links: [{endpoints: [s, m]}, {endpoints: [m, r]}]
experiment: {arms: [tuned, split, fsu], custody: memory}
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "ext4"), ("/var/lib", "tmpfs"), ("/var/tmp", "xfs"), ("/var/tmp/a", "xfs")],
)
def test_the_file_system_is_that_of_the_longest_mount(path: str, kind: str) -> None:
    assert custody.filesystem_of(Path(path), MOUNTS) == kind


def test_of_mounts_on_one_place_the_last_is_seen() -> None:
    assert custody.filesystem_of(Path("/run/x"), MOUNTS + "/dev/vdc /run ext4 rw 0 0\n") == "ext4"


def test_each_node_is_told_its_neighbours_on_the_path() -> None:
    spec = replace(line(Arm.SPLIT), custody=Custody.DURABLE)
    (path, flow) = spec.paths[0], spec.flows[0]
    relay = custody.relaying(spec, path, "m", "/f")
    assert relay is not None
    assert (relay.upstream, relay.downstream, relay.journal_folder) == ("s", "r", "/f")
    assert relay.free_on_durable_custody
    assert relay.capacity_bytes >= custody.BDPS * path.bdp_bytes
    listen = custody.listening(spec, path, "/f")
    assert listen is not None
    assert (listen.upstream, listen.folder) == ("m", "/f")
    sending = custody.sending(spec, flow, resume=True)
    assert sending is not None
    assert (sending.next_hop, sending.receiver, sending.resume) == ("m", "r", True)


def test_without_custody_nobody_is_told_anything() -> None:
    spec = line(Arm.SPLIT)
    assert custody.relaying(spec, spec.paths[0], "m", "") is None
    assert custody.listening(spec, spec.paths[0], "") is None
    assert custody.sending(spec, spec.flows[0], resume=False) is None


def test_only_arms_that_split_have_custody_and_with_it_a_control_plane() -> None:
    found = {run.arm: run for run in expand(loads(FILE)).runs(0)}
    assert [found[arm].custody for arm in (Arm.TUNED, Arm.SPLIT, Arm.FSU)] == [
        Custody.NONE,
        Custody.MEMORY,
        Custody.MEMORY,
    ]
    assert {arm for arm in found if found[arm].has_control_plane} == {Arm.SPLIT, Arm.FSU}


def repair(failed_ns: int) -> RepairEvent:
    return RepairEvent("daemon-dead", "m", failed_ns, 0, 1, True, (), None)


def test_a_replay_belongs_to_the_latest_failure_before_it() -> None:
    replays = [
        Resumption("s", "m", 1, at_ns, 0, size)
        for at_ns, size in ((5, 1), (10, 2), (19, 4), (20, 8))
    ]
    found = with_replays([repair(20), repair(10)], replays)
    assert [one.bytes_replayed for one in found] == [8, 6]
    assert with_replays([], replays) == ()

"""What is said to iptables and to the delay line, and what is read back."""

from __future__ import annotations

from pathlib import Path

from sentinel_sim.wire.delayline_stage import (
    QueueDrops,
    iptables_rules,
    parse_queue_drops,
    program_arguments,
)
from sentinel_sim.wire.names import WireNames

RECORDED = """    1   6722    17 1     0     3     5    13363  1
    2 2910256856     0 1     0     0     0    12269  1
"""


def test_drops_are_read_from_the_kernels_table() -> None:
    assert parse_queue_drops(RECORDED) == {1: QueueDrops(3, 5), 2: QueueDrops(0, 0)}


def test_each_direction_waits_in_its_own_queue_without_bypass() -> None:
    rules = iptables_rules(WireNames("ab12", 3)).splitlines()
    assert rules[0] == "*mangle"
    assert rules[-1] == "COMMIT"
    assert "-A FORWARD -i snab123mb -j NFQUEUE --queue-num 1" in rules
    assert "-A FORWARD -i snab123ma -j NFQUEUE --queue-num 2" in rules
    assert not any("bypass" in rule for rule in rules)


def test_the_process_carries_the_run_in_its_command_line() -> None:
    arguments = program_arguments(
        Path("/x/sentinel-delayline"), "sentinel-ab12-wire3-delayline", 50
    )
    assert "sentinel-ab12-wire3-delayline" in arguments
    assert arguments.count("--queue") == 2

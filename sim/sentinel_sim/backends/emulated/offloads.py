"""Segmentation and receive offloads: set explicitly, the same in all arms, and recorded."""

from __future__ import annotations

from collections.abc import Sequence

from sentinel_sim.wire.shell import Shell, in_namespace

RECORDED = (
    "tcp-segmentation-offload",
    "generic-segmentation-offload",
    "generic-receive-offload",
    "tx-checksumming",
)


def set_gro(shell: Shell, namespace: str, interface: str, on: bool) -> None:
    """Generic receive offload merges what arrives, so that it climbs the stack as one packet."""
    word = "on" if on else "off"
    shell.run(in_namespace(namespace, "ethtool", "-K", interface, "gro", word))


def poll_from_threads(shell: Shell, namespace: str, interfaces: Sequence[str]) -> None:
    """Let a kernel thread poll each interface, merging what arrived (GRO).

    Otherwise whoever caused a packet to arrive polls. Soft interrupts run for up to
    net.core.netdev_budget_usecs (8 ms at 250 Hz) without giving way; on a kernel without preemption
    that is how late a delay line would be. A thread gives way after each poll of 64 packets.

    All in one process: starting them is most of what building a large network takes.
    """
    lines = ["set -e"]
    for interface in interfaces:
        lines.append(f"ethtool -K {interface} gro on")
        lines.append(f"echo 1 > /sys/class/net/{interface}/threaded")
    shell.run(in_namespace(namespace, "sh", "-s"), "\n".join(lines) + "\n")


def parse_features(text: str) -> dict[str, str]:
    """The recorded features in the output of `ethtool -k`."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition(": ")
        if name in RECORDED:
            found[name] = value
    return found


def read_offloads(shell: Shell, namespace: str, interface: str) -> dict[str, str]:
    """What the interface has now."""
    return parse_features(shell.run(in_namespace(namespace, "ethtool", "-k", interface)))

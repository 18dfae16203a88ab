"""Map entries become records; nothing here needs a kernel map."""

from __future__ import annotations

import os

import pytest

from sentinel_bpf import abi, maps
from sentinel_bpf.errors import BpfError
from sentinel_bpf.flow_map import parse_flow, read_flows


def value(forward_bytes: int, backward_bytes: int) -> bytes:
    flow = abi.Flow()
    flow.forward.bytes_total, flow.backward.bytes_total = forward_bytes, backward_bytes
    flow.forward.throughput_bps = 10**11
    return bytes(flow)


def test_ipv4_key_and_halves() -> None:
    key = bytes([10, 0, 0, 1, 10, 0, 0, 2, 0x14, 0x51, 0x9C, 0x40]) + (6).to_bytes(4, "little")
    record = parse_flow(key, value(100, 7))
    assert (record.source_address, record.source_port) == ("10.0.0.1", 5201)
    assert (record.target_address, record.target_port) == ("10.0.0.2", 40000)
    assert (record.protocol, record.vlan, record.outer_vlan) == (6, 0, 0)
    assert (record.forward.bytes_total, record.backward.bytes_total) == (100, 7)
    assert record.forward.throughput_bps == 10**11


def test_ipv6_key_with_two_tags() -> None:
    tags = (4000 << 20 | 77 << 8 | 17).to_bytes(4, "little")
    key = bytes([0xFD] + 14 * [0] + [1]) + bytes([0xFD] + 14 * [0] + [2]) + bytes(4) + tags
    record = parse_flow(key, value(1, 2))
    assert (record.source_address, record.target_address) == ("fd00::1", "fd00::2")
    assert (record.protocol, record.vlan, record.outer_vlan) == (17, 77, 4000)


def test_what_is_no_map_is_refused() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(BpfError, match="not a BPF map"):
            read_flows(reading)
    finally:
        os.close(reading)
        os.close(writing)


def test_per_cpu_values_are_cut_at_eight_bytes() -> None:
    raw = bytes(range(16))
    assert maps.split_per_cpu(raw, 4) == [raw[0:4], raw[8:12]]
    assert maps.split_per_cpu(raw, 8) == [raw[0:8], raw[8:16]]

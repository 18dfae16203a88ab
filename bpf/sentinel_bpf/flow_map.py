"""What the FSU knows: flows and counters read from its maps, by descriptor.

Works in a process that only inherited the descriptors, without capability and without bcc.
"""

from __future__ import annotations

import ctypes
import dataclasses
import socket
from dataclasses import dataclass

from sentinel_bpf import abi, maps
from sentinel_bpf.errors import BpfError
from sentinel_bpf.pending import take_pending


@dataclass(frozen=True, slots=True)
class FlowHalf:
    """One direction of a flow as the FSU saw it. See sentinel_abi.h for the fine print.

    The RTT is that of a segment of the path: from interface `ifindex` of this half to the far end
    in this direction, and back to interface `ifindex` of the other half.
    """

    bytes_total: int = 0
    """Layer 2, header included, without preamble, FCS and gap."""
    packets_total: int = 0
    last_timestamp: int = 0
    """Nanoseconds, CLOCK_MONOTONIC, of the latest packet; 0: none."""
    avg_packet_size: int = 0
    """Bytes, rounded down."""
    throughput_bps: int = 0
    """Bits per second, average over about 8 ms before `last_timestamp`."""
    throughput_window_bps: int = 0
    """Bits per second of the latest whole interval of some 1 ms."""
    rtt_us: int = 0
    """Smoothed (RFC 6298), from SEQ/ACK; 0: no sample."""
    rtt_min_ns: int = 0
    """Least sample of the last 8.6 to 17.2 s that had samples; 0: no sample."""
    rtt_last_ns: int = 0
    rtt_samples: int = 0
    """Modulo 2**32."""
    ts_rtt_us: int = 0
    """Smoothed, from TCP timestamps: the cross-check; 0: no sample."""
    ts_samples: int = 0
    bdp_bytes: int = 0
    """throughput_bps x smoothed RTT."""
    optimal_buffer_size: int = 0
    """Bytes: BDP x pattern factor x 1.2; 0: no RTT, or no rate."""
    retransmissions: int = 0
    """TCP segments seen with sequence numbers seen before."""
    ifindex: int = 0
    """Where the first packet of this direction arrived; 0: none has."""
    births: int = 0
    """1 + how often the half began anew (SYN, long silence); its counters began at zero then."""
    started_ns: int = 0
    """CLOCK_MONOTONIC, of the first packet since then."""


@dataclass(frozen=True, slots=True)
class FlowRecord:
    """One flow. `source` is the end with the smaller (address, port), whoever opened it."""

    source_address: str
    target_address: str
    source_port: int
    """0 for protocols without ports."""
    target_port: int
    protocol: int
    """IANA number: 6 is TCP."""
    forward: FlowHalf
    """From source to target."""
    backward: FlowHalf
    vlan: int = 0
    """VLAN id, the inner one of a doubly tagged frame; 0: untagged."""
    outer_vlan: int = 0
    """Outer VLAN id of a doubly tagged frame, else 0."""


_FIELDS = tuple(field.name for field in dataclasses.fields(FlowHalf))


def _half(half: abi.FlowHalf) -> FlowHalf:
    return FlowHalf(**{name: int(getattr(half, name)) for name in _FIELDS})


def parse_flow(key_bytes: bytes, value_bytes: bytes) -> FlowRecord:
    """One entry of flow_metrics_map or flow_metrics6 (told by the key's size).

    RTTs are up to date: samples that wait to be taken are taken (see `pending`).
    """
    kind, family = (
        (abi.Flow4Key, socket.AF_INET)
        if len(key_bytes) == ctypes.sizeof(abi.Flow4Key)
        else (abi.Flow6Key, socket.AF_INET6)
    )
    key = kind.from_buffer_copy(key_bytes)
    flow = abi.Flow.from_buffer_copy(value_bytes)
    words = flow.exchange
    take_pending(flow.forward, words[0], words[1])
    take_pending(flow.backward, words[1], words[0])
    return FlowRecord(
        source_address=socket.inet_ntop(family, bytes(key.low_address)),
        target_address=socket.inet_ntop(family, bytes(key.high_address)),
        source_port=int.from_bytes(bytes(key.low_port), "big"),
        target_port=int.from_bytes(bytes(key.high_port), "big"),
        protocol=key.tags_protocol & 0xFF,
        forward=_half(flow.forward),
        backward=_half(flow.backward),
        vlan=key.tags_protocol >> abi.TAGS_INNER_SHIFT & 0xFFF,
        outer_vlan=key.tags_protocol >> abi.TAGS_OUTER_SHIFT & 0xFFF,
    )


def _check(fd: int, name: str, key_kind: type[ctypes.Structure]) -> None:
    form = maps.shape(fd)
    expected = (ctypes.sizeof(key_kind), ctypes.sizeof(abi.Flow))
    if (form.key_bytes, form.value_bytes) != expected:
        raise BpfError(
            f"descriptor {fd} is no {name} of ABI version {abi.ABI_VERSION}: key and value have "
            f"{form.key_bytes} and {form.value_bytes} bytes instead of {expected[0]} and "
            f"{expected[1]}"
        )


def read_values(fd4: int, fd6: int | None = None) -> list[tuple[bytes, bytes]]:
    """Keys and values of flow_metrics_map (`fd4`) and flow_metrics6 (`fd6`), in a stable order.

    A flow that is being updated may be read between two of its fields. Raises BpfError if a
    descriptor is not such a map.
    """
    _check(fd4, "flow_metrics_map", abi.Flow4Key)
    entries = list(maps.items(fd4))
    if fd6 is not None:
        _check(fd6, "flow_metrics6", abi.Flow6Key)
        entries += maps.items(fd6)
    # The batch order of a hash is arbitrary, and an entry may come twice if the map changes.
    return sorted(dict(entries).items())


def read_flows(fd4: int, fd6: int | None = None) -> list[FlowRecord]:
    """All flows of both maps as records; see `read_values`."""
    return [parse_flow(key, value) for key, value in read_values(fd4, fd6)]


def read_counters(fd: int) -> dict[str, int]:
    """The counters of fsu_counters, summed over CPUs, by lower-case name.

    `passed` is what the program saw: every packet has exactly one outcome, and passes.
    """
    totals = {"passed": 0}
    for counter in abi.Counter:
        values = maps.lookup_per_cpu(fd, maps.index_key(counter))
        count = sum(int.from_bytes(value, "little") for value in values)
        totals[counter.name.lower()] = count
        if counter < abi.OUTCOMES:
            totals["passed"] += count
    return totals

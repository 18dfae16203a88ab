"""One direction of a flow, and what it counts: sentinel_flow_half and sentinel_count.h."""

from __future__ import annotations

from dataclasses import dataclass, field

from sentinel_bpf import abi
from sentinel_bpf.predict_abi import Predict

MASK32 = 2**32 - 1
MASK64 = 2**64 - 1


@dataclass(slots=True)
class Exchange:
    """struct sentinel_exchange."""

    probe: int = 0
    stamp: int = 0
    ts_probe: int = 0
    ts_stamp: int = 0


@dataclass(slots=True)
class HalfState:
    """struct sentinel_flow_half without `predict`; names and units as there."""

    bytes_total: int = 0
    packets_total: int = 0
    last_timestamp: int = 0
    avg_packet_size: int = 0
    seq_high: int = 0
    throughput_bps: int = 0
    throughput_window_bps: int = 0
    bdp_bytes: int = 0
    optimal_buffer_size: int = 0
    throughput_bps_x16: int = 0
    interval_start_ns: int = 0
    interval_start_bytes: int = 0
    probe_sent_ns: int = 0
    ts_sent_ns: int = 0
    srtt_ns_x8: int = 0
    rttvar_ns_x4: int = 0
    ts_srtt_ns_x8: int = 0
    min_window_start_ns: int = 0
    rtt_us: int = 0
    rtt_min_ns: int = 0
    rtt_last_ns: int = 0
    rtt_samples: int = 0
    ts_rtt_us: int = 0
    ts_samples: int = 0
    min_now_ns: int = 0
    min_before_ns: int = 0
    retransmissions: int = 0
    ifindex: int = 0
    births: int = 0
    started_ns: int = 0
    exchange: Exchange = field(default_factory=Exchange)

    def begin(self, packet_bytes: int, now_ns: int, ifindex: int) -> None:
        """sentinel_start_half(): forget all but the births and the generations of the probes."""
        births = (self.births + 1) & MASK32
        if self.packets_total:
            for name in _PLAIN:
                setattr(self, name, 0)
        self.births, self.ifindex, self.started_ns = births, ifindex, now_ns
        self.last_timestamp = self.interval_start_ns = now_ns
        self.interval_start_bytes = packet_bytes
        self.exchange.probe &= 0xFFFF << 48
        self.exchange.ts_probe &= 0xFFFF << 48

    def count(self, packet_bytes: int, packets: int, now_ns: int) -> None:
        """sentinel_count()."""
        self.packets_total = (self.packets_total + packets) & MASK64
        self.bytes_total = (self.bytes_total + packet_bytes) & MASK64
        self.last_timestamp = now_ns
        self.avg_packet_size = self.bytes_total // self.packets_total & MASK32

    def to_bytes(self, predict: Predict) -> bytes:
        """The half as it stands in the map."""
        values = {name: getattr(self, name) for name in _PLAIN}
        return bytes(abi.FlowHalf(predict=predict, **values))


_PLAIN = tuple(name for name in HalfState.__dataclass_fields__ if name != "exchange")


def exchange_bytes(exchange: Exchange) -> bytes:
    """The words of one direction as they stand in the map."""
    return bytes(abi.Exchange(exchange.probe, exchange.stamp, exchange.ts_probe, exchange.ts_stamp))

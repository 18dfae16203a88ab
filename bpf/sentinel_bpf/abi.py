"""ctypes mirror of sentinel_abi.h and wire_abi.h; tests compare it with what the compiler says.

Each class stands for the C structure in its docstring.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum

from sentinel_bpf.predict_abi import Predict

ABI_VERSION = 3
FLOWS4_MAX = 16384
FLOWS6_MAX = 4096
NEW_FLOWS_PER_S = 65536
FLOW_IDLE_NS = 120_000_000_000
TAGS_OUTER_SHIFT = 20
TAGS_INNER_SHIFT = 8
WIRE_STAMPS_MAX = 65536
WIRE_TRANSITS_MAX = 65536
WIRE_BINS_MAX = 131_072

_U32 = ctypes.c_uint32
_U64 = ctypes.c_uint64


class Counter(IntEnum):
    """enum sentinel_counter: indices into fsu_counters."""

    FLOW4 = 0
    FLOW6 = 1
    NOT_IP = 2
    FRAGMENTS = 3
    PARSE_FAIL = 4
    INSERT_FAIL = 5
    FLOOD_REFUSED = 6
    BYPASSED = 7
    REBORN = 8


OUTCOMES = 8
"""Each packet adds one to exactly one of the counters before this."""


class Flow4Key(ctypes.Structure):
    """struct sentinel_flow4_key; addresses and ports as they stand in the packet."""

    _fields_ = (
        ("low_address", ctypes.c_ubyte * 4),
        ("high_address", ctypes.c_ubyte * 4),
        ("low_port", ctypes.c_ubyte * 2),
        ("high_port", ctypes.c_ubyte * 2),
        ("tags_protocol", _U32),
    )


class Flow6Key(ctypes.Structure):
    """struct sentinel_flow6_key; addresses and ports as they stand in the packet."""

    _fields_ = (
        ("low_address", ctypes.c_ubyte * 16),
        ("high_address", ctypes.c_ubyte * 16),
        ("low_port", ctypes.c_ubyte * 2),
        ("high_port", ctypes.c_ubyte * 2),
        ("tags_protocol", _U32),
    )


class FlowHalf(ctypes.Structure):
    """struct sentinel_flow_half."""

    _fields_ = (
        ("bytes_total", _U64),
        ("packets_total", _U64),
        ("last_timestamp", _U64),
        ("avg_packet_size", _U32),
        ("seq_high", _U32),
        ("predict", Predict),
        ("probe_sent_ns", _U64),
        ("ts_sent_ns", _U64),
        ("rtt_us", _U32),
        ("rtt_min_ns", _U32),
        ("rtt_last_ns", _U32),
        ("rtt_samples", _U32),
        ("throughput_bps", _U64),
        ("throughput_window_bps", _U64),
        ("throughput_bps_x16", _U64),
        ("interval_start_ns", _U64),
        ("interval_start_bytes", _U64),
        ("bdp_bytes", _U64),
        ("optimal_buffer_size", _U64),
        ("srtt_ns_x8", _U64),
        ("rttvar_ns_x4", _U64),
        ("ts_srtt_ns_x8", _U64),
        ("min_window_start_ns", _U64),
        ("min_now_ns", _U32),
        ("min_before_ns", _U32),
        ("ts_rtt_us", _U32),
        ("ts_samples", _U32),
        ("retransmissions", _U32),
        ("ifindex", _U32),
        ("births", _U32),
        ("pad", _U32),
        ("started_ns", _U64),
    )


class Exchange(ctypes.Structure):
    """struct sentinel_exchange."""

    _fields_ = (("probe", _U64), ("stamp", _U64), ("ts_probe", _U64), ("ts_stamp", _U64))


class Flow(ctypes.Structure):
    """struct sentinel_flow."""

    _fields_ = (("exchange", Exchange * 2), ("forward", FlowHalf), ("backward", FlowHalf))


class Heartbeat(ctypes.Structure):
    """struct sentinel_heartbeat."""

    _fields_ = (("beat_ns", _U64), ("timeout_ns", _U64))


class Config(ctypes.Structure):
    """struct sentinel_config."""

    _fields_ = (("new_flows_per_s", _U64), ("flow_idle_ns", _U64))


class Flood(ctypes.Structure):
    """struct sentinel_flood."""

    _fields_ = (("second_start_ns", _U64), ("new_flows", _U64))


class WireLossConfig(ctypes.Structure):
    """struct wire_loss_config."""

    _fields_ = (("seed", _U64), ("threshold", _U64))


class WireLossState(ctypes.Structure):
    """struct wire_loss_state."""

    _fields_ = (("seen", _U64), ("dropped", _U64))


class WireBinsConfig(ctypes.Structure):
    """struct wire_bins_config."""

    _fields_ = (("start_ns", _U64), ("bin_ns", _U64))


class WireFaultConfig(ctypes.Structure):
    """struct wire_fault_config."""

    _fields_ = (("cut", _U32), ("corrupt", _U32), ("seed", _U64))


class WireFaultState(ctypes.Structure):
    """struct wire_fault_state."""

    _fields_ = (("cut_packets", _U64), ("control_packets", _U64), ("corrupted", _U64))


class WireProbeConfig(ctypes.Structure):
    """struct wire_probe_config."""

    _fields_ = (("sample_mask", _U32), ("epoch", _U32), ("slots", _U32), ("pad", _U32))


class WireStampKey(ctypes.Structure):
    """struct wire_stamp_key."""

    _fields_ = (
        ("address_mix", _U32),
        ("ip_id", _U32),
        ("l4_word", _U32 * 3),
        ("epoch", _U32),
    )


class WireEndState(ctypes.Structure):
    """struct wire_end_state."""

    _fields_ = (
        ("packets", _U64),
        ("bytes", _U64),
        ("skbs", _U64),
        ("sampled", _U64),
        ("not_counted", _U64),
    )


class WireTransitState(ctypes.Structure):
    """struct wire_transit_state."""

    _fields_ = (("samples", _U64), ("misses", _U64), ("ambiguous", _U64), ("max_ns", _U64))


MIRRORED: dict[str, tuple[str, type[ctypes.Structure]]] = {
    "sentinel_flow4_key": ("sentinel_abi.h", Flow4Key),
    "sentinel_flow6_key": ("sentinel_abi.h", Flow6Key),
    "sentinel_flow_half": ("sentinel_abi.h", FlowHalf),
    "sentinel_exchange": ("sentinel_abi.h", Exchange),
    "sentinel_flow": ("sentinel_abi.h", Flow),
    "sentinel_heartbeat": ("sentinel_abi.h", Heartbeat),
    "sentinel_config": ("sentinel_abi.h", Config),
    "sentinel_flood": ("sentinel_abi.h", Flood),
    "wire_loss_config": ("wire_abi.h", WireLossConfig),
    "wire_loss_state": ("wire_abi.h", WireLossState),
    "wire_bins_config": ("wire_abi.h", WireBinsConfig),
    "wire_fault_config": ("wire_abi.h", WireFaultConfig),
    "wire_fault_state": ("wire_abi.h", WireFaultState),
    "wire_probe_config": ("wire_abi.h", WireProbeConfig),
    "wire_stamp_key": ("wire_abi.h", WireStampKey),
    "wire_end_state": ("wire_abi.h", WireEndState),
    "wire_transit_state": ("wire_abi.h", WireTransitState),
}
"""C structure name -> (header, mirror)."""

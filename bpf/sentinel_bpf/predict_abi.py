"""ctypes mirror of sentinel_predict_abi.h; a test compares it with what the compiler says.

Each class stands for the C structure in its docstring.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum

MODEL_FORMAT = 2
SHIFT_DEFAULT = 25
SHIFT_MIN = 20
SHIFT_MAX = 27
BYTES_MAX = 0x7FFFFFFF
LAGS = 4
AWAKE_EMPTY = LAGS - 1
NETWORK_INPUTS = 8
NETWORK_HIDDEN = 8
NETWORK_PAIRS = NETWORK_HIDDEN // 2
NETWORK_WEIGHT_ZERO = 128
NETWORK_DIRECT_ZERO = 32768
NETWORK_COUNT_SHIFT = 40
NETWORK_HIDDEN_SHIFT = 6
NETWORK_OUTPUT_SHIFT = 12

_U8 = ctypes.c_uint8
_S16 = ctypes.c_int16
_U16 = ctypes.c_uint16
_S32 = ctypes.c_int32
_U32 = ctypes.c_uint32
_S64 = ctypes.c_int64
_U64 = ctypes.c_uint64


class Expert(IntEnum):
    """enum sentinel_expert: who predicts the bytes of the next interval."""

    LAST = 0
    FAST = 1
    SLOW = 2
    HOLT = 3
    LMS = 4
    NETWORK = 5


class Burst(IntEnum):
    """enum sentinel_burst: how far the next interval is expected to exceed the slow mean."""

    STEADY = 0
    VARYING = 1
    BURSTY = 2
    PEAK = 3


class PacketExpert(IntEnum):
    """enum sentinel_packet_expert: who predicts the next packet's gap, and (first two) size."""

    LAST = 0
    MEDIAN = 1
    MEAN = 2


class Predict(ctypes.Structure):
    """struct sentinel_predict."""

    _fields_ = (
        ("interval_start_ns", _U64),
        ("interval_bytes", _U32),
        ("last_offset_ns", _U32),
        ("gap_last_ns", _U32),
        ("gap_mean_ns", _U32),
        ("gap_median_ns", _U32),
        ("size_last", _U16),
        ("size_median", _U16),
        ("expert_bytes", _U32 * len(Expert)),
        ("history", _U32 * (LAGS - 1)),
        ("holt_trend", _S32),
        ("lms_weight", _S16 * LAGS),
        ("predicted_bytes", _U32),
        ("intervals", _U32),
        ("burst_hits", _U32),
        ("burst_exceeded", _U32),
        ("leader", _U8),
        ("burst_class", _U8),
        ("asleep", _U8),
        ("error_shift", _U8),
        ("recent_error", _U32 * len(Expert)),
        ("error_sum", _U32 * len(Expert)),
        ("leader_error_sum", _U32),
        ("gap_recent_ns", _U32 * len(PacketExpert)),
        ("size_recent", _U16 * 2),
        ("gap_error_sum", _U32 * 2),
        ("size_error_sum", _U32 * 2),
        ("gap_shift", _U8),
        ("size_shift", _U8),
        ("pad", _U8 * 6),
    )


class Model(ctypes.Structure):
    """struct sentinel_model."""

    _fields_ = (
        ("version", _U32),
        ("interval_shift", _U8),
        ("pad", _U8 * 3),
        ("hidden_weight", (_U64 * NETWORK_PAIRS) * NETWORK_INPUTS),
        ("direct_weight", _U64 * NETWORK_INPUTS),
        ("output_weight", _S64 * NETWORK_HIDDEN),
    )


class Models(ctypes.Structure):
    """struct sentinel_models: the one value of the map of models."""

    _fields_ = (("active", _U32), ("pad", _U32), ("slot", Model * 2))


MIRRORED: dict[str, type[ctypes.Structure]] = {
    "sentinel_predict": Predict,
    "sentinel_model": Model,
    "sentinel_models": Models,
}
"""C structure name -> mirror; all in sentinel_predict_abi.h."""

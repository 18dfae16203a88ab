"""ctypes mirror of sentinel_predict_abi.h (the per-flow state)."""

from __future__ import annotations

import ctypes

_U8, _U16, _U32, _U64 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64
_S16, _S32 = ctypes.c_int16, ctypes.c_int32


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
        ("history", _U32 * 4),
        ("fast_mean", _U32),
        ("slow_mean", _U32),
        ("holt_level", _U32),
        ("holt_trend", _S32),
        ("lms_weight", _S16 * 4),
        ("lms_bytes", _U32),
        ("network_bytes", _U32),
        ("predicted_bytes", _U32),
        ("intervals", _U32),
        ("burst_hits", _U32),
        ("burst_exceeded", _U32),
        ("leader", _U8),
        ("burst_class", _U8),
        ("asleep", _U8),
        ("error_shift", _U8),
        ("recent_error", _U32 * 6),
        ("error_sum", _U32 * 6),
        ("leader_error_sum", _U32),
        ("gap_recent_ns", _U32 * 3),
        ("size_recent", _U16 * 2),
        ("gap_error_sum", _U32 * 2),
        ("size_error_sum", _U32 * 2),
        ("gap_shift", _U8),
        ("size_shift", _U8),
        ("pad", _U8 * 6),
    )

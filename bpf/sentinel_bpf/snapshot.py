"""Flows with their predictions, as the FSU's maps have them at one moment."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from sentinel_bpf import abi, maps
from sentinel_bpf.errors import BpfError
from sentinel_bpf.flow_map import FlowRecord, parse_flow, read_values
from sentinel_bpf.predict_abi import Burst, Expert, Models, Predict
from sentinel_bpf.predict_reference import FACTORS_Q16

EXPERTS = tuple(expert.name.lower() for expert in Expert)
BURSTS = tuple(burst.name.lower() for burst in Burst)
INTERVAL_SHIFT_DEFAULT = 25


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the FSU expects of one direction of a flow. See sentinel_predict_abi.h."""

    predicted_bytes: int
    """In the interval that is open."""
    intervals: int
    """Closed so far; all but the first are scored. 0: nothing is predicted yet."""
    leader: str
    """The expert whose prediction it is."""
    burst: str
    asleep: bool
    mase: float | None
    """Mean absolute error over that of the last value; None: not scored, or the last value has
    always been exact."""
    mean_error_bytes: float | None
    """Mean absolute error of the leader in one interval; None: not scored."""
    pattern_factor: float = 1.0
    """By which the expected burst class lengthens the optimal buffer: 1.0 to 1.5."""


@dataclass(frozen=True, slots=True)
class FlowEntry:
    """One flow and what is predicted of its two directions."""

    record: FlowRecord
    forward: Prediction
    backward: Prediction


def _name(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else f"#{index}"


def _prediction(state: Predict) -> Prediction:
    scored = int(state.intervals) - 1
    last_error, error = int(state.error_sum[0]), int(state.leader_error_sum)
    return Prediction(
        predicted_bytes=int(state.predicted_bytes),
        intervals=int(state.intervals),
        leader=_name(EXPERTS, int(state.leader)),
        burst=_name(BURSTS, int(state.burst_class)),
        asleep=bool(state.asleep),
        mase=error / last_error if scored > 0 and last_error else None,
        mean_error_bytes=(error << int(state.error_shift)) / scored if scored > 0 else None,
        # As sentinel_pattern_factor_q16() reads a class beyond the last.
        pattern_factor=FACTORS_Q16[min(int(state.burst_class), Burst.PEAK)] / (1 << 16),
    )


def interval_shift_of(models: bytes) -> int:
    """Predictions are for intervals of 2**shift ns; `models` is the value of fsu_models."""
    found = Models.from_buffer_copy(models)
    return int(found.slot[found.active & 1].interval_shift) or INTERVAL_SHIFT_DEFAULT


def parse_entry(key: bytes, value: bytes) -> FlowEntry:
    """One entry of flow_metrics_map or flow_metrics6."""
    flow = abi.Flow.from_buffer_copy(value)
    return FlowEntry(
        parse_flow(key, value),
        _prediction(flow.forward.predict),
        _prediction(flow.backward.predict),
    )


def read_entries(fd: int) -> list[FlowEntry]:
    """All flows of one map, in a stable order. Raises BpfError."""
    return [parse_entry(key, value) for key, value in sorted(dict(maps.items(fd)).items())]


def read_all(fd4: int, fd6: int) -> list[FlowEntry]:
    """All flows of flow_metrics_map and flow_metrics6, in a stable order.

    Raises BpfError if a descriptor is not such a map.
    """
    return [parse_entry(key, value) for key, value in read_values(fd4, fd6)]


def read_interval_shift(models_fd: int) -> int:
    """Predictions with this fsu_models are for intervals of 2**shift ns. Raises BpfError."""
    value = maps.lookup(models_fd, maps.index_key(0))
    if value is None or len(value) != ctypes.sizeof(Models):
        raise BpfError(f"descriptor {models_fd} is no fsu_models of ABI version {abi.ABI_VERSION}")
    return interval_shift_of(value)

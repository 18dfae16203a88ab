"""The kernel's predictor in user space: predict_library.c, compiled by the host's C compiler."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sentinel_bpf import predict_abi as abi
from sentinel_bpf.errors import BpfError, BpfUnavailableError
from sentinel_bpf.training.series import Intervals
from sentinel_bpf.training.traffic import Packets

SOURCE = Path(__file__).parents[1] / "predict_library.c"
PREDICTORS = len(abi.Expert) + 1
"""The experts, and last the leader."""


@dataclass(frozen=True)
class Trace:
    """What the predictor said after each interval of a series."""

    predicted: npt.NDArray[np.int64]
    """(intervals, experts + leader): bytes of the next interval."""
    inputs: npt.NDArray[np.int64]
    """(intervals, inputs of the network): bytes."""
    state: abi.Predict
    """At the end."""


def compile_library(folder: Path, extra: Sequence[str] = ()) -> Path:
    """Build the shared library in `folder`. Raises BpfUnavailableError without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise BpfUnavailableError(
            "no C compiler to build the predictor with", cure="apt-get install -y gcc libc6-dev"
        )
    target = folder / "libpredict.so"
    words = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *extra]
    done = subprocess.run(
        [*words, "-o", str(target), str(SOURCE)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BpfError(f"{SOURCE.name}: {compiler} refused it: {done.stderr.strip()}")
    return target


@functools.cache
def _library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix="sentinel-predict-") as folder:
        loaded = ctypes.CDLL(str(compile_library(Path(folder))))  # stays mapped when unlinked
    loaded.predict_packets.restype = None
    loaded.predict_intervals.restype = None
    loaded.predict_network.restype = ctypes.c_uint32
    loaded.predict_pattern_factor_q16.restype = ctypes.c_uint32
    return loaded


def _model_pointer(model: abi.Model | None) -> object:
    return None if model is None else ctypes.byref(model)


def run_packets(
    packets: Packets, model: abi.Model | None, state: abi.Predict | None = None
) -> abi.Predict:
    """The state after all packets of a flow; goes on from `state`, in place, if given."""
    state = abi.Predict() if state is None else state
    times = np.ascontiguousarray(packets.times_ns, np.uint64)
    sizes = np.ascontiguousarray(packets.sizes, np.uint32)
    _library().predict_packets(
        ctypes.byref(state),
        _model_pointer(model),
        times.ctypes.data_as(ctypes.c_void_p),
        sizes.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_uint64(len(times)),
    )
    return state


def run_intervals(series: Intervals, model: abi.Model | None) -> Trace:
    """Predictions after each interval of a series that begins with a non-empty one."""
    if not len(series) or not series[0]:
        raise BpfError("a series of intervals begins with one that is not empty")
    state = abi.Predict()
    data = np.ascontiguousarray(series, np.uint32)
    predicted = np.empty((len(data), PREDICTORS), np.uint32)
    inputs = np.empty((len(data), abi.NETWORK_INPUTS), np.uint32)
    _library().predict_intervals(
        ctypes.byref(state),
        _model_pointer(model),
        data.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_uint64(len(data)),
        predicted.ctypes.data_as(ctypes.c_void_p),
        inputs.ctypes.data_as(ctypes.c_void_p),
    )
    return Trace(predicted.astype(np.int64), inputs.astype(np.int64), state)


def run_network(model: abi.Model, inputs: Sequence[int]) -> int:
    """The network alone: bytes."""
    values = (ctypes.c_uint32 * abi.NETWORK_INPUTS)(*inputs)
    return int(_library().predict_network(ctypes.byref(model), values))


def pattern_factor_q16(state: abi.Predict) -> int:
    """pattern_factor for the class predicted in `state`: 65536 is 1.0."""
    return int(_library().predict_pattern_factor_q16(ctypes.byref(state)))

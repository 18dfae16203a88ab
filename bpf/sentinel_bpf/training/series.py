"""Packets of a flow to bytes per interval, by the rule of sentinel_predict.h."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sentinel_bpf import predict_abi as abi
from sentinel_bpf.training.traffic import Packets

Intervals = npt.NDArray[np.uint32]


def intervals(packets: Packets, shift: int = abi.SHIFT_DEFAULT) -> Intervals:
    """Bytes in each interval of 2^shift ns that is closed by the flow's last packet.

    Intervals begin with the first packet. The one that holds the last packet is not closed by
    anything, and left out.
    """
    index = (packets.times_ns - packets.times_ns[0]) >> shift
    sums = np.bincount(index, weights=packets.sizes)[: int(index[-1])]
    return np.minimum(sums, abi.BYTES_MAX).astype(np.uint32)


def asleep(series: Intervals) -> npt.NDArray[np.bool_]:
    """After which intervals a flow is asleep: that one empty, of the last four one not at most.

    Before the flow's first interval every one counts as not empty, as in sentinel_begin().
    """
    sent = np.concatenate([np.ones(abi.LAGS - 1, np.int64), series != 0])
    windows = np.lib.stride_tricks.sliding_window_view(sent, abi.LAGS)
    return np.asarray((windows.sum(axis=1) <= 1) & (series == 0))

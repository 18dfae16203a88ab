"""The predictor that the daemon uses for its own flows: a bank, the FSU's network among it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sentinel_node.core.sync.slopes import Fsu, Hold, Mean, Secant, Slope, SlopeBank

if TYPE_CHECKING:
    from sentinel_bpf.predict_reference import Network


@cache
def load_network() -> Network:
    """The FSU's network and its weights; takes a moment the first time."""
    # Imported here: a node that announces nothing needs nothing of sentinel_bpf.
    from sentinel_bpf.training.weights import load

    return load().network


def make_slope(interval_ns: int, bound_bytes: int) -> Slope:
    """A fresh bank for one flow that is sampled every `interval_ns`."""
    from sentinel_bpf.predict_reference import PredictState

    network, state = load_network(), PredictState()
    per_interval = max(1, (1 << network.interval_shift) // interval_ns)
    fsu = Fsu(state, lambda size: state.close(network, size), interval_ns, per_interval)
    means = [Mean(interval_ns, 5), Mean(interval_ns, 8)]
    return SlopeBank([Hold(), Secant(), *means, fsu], interval_ns, max(bound_bytes, 1))

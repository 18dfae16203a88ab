"""Training samples: what the network sees after an interval, and what the next one brings."""

from __future__ import annotations

import numpy as np

from sentinel_bpf.errors import BpfError
from sentinel_bpf.training.fit import Samples
from sentinel_bpf.training.kinds import KINDS, generate
from sentinel_bpf.training.library import run_intervals
from sentinel_bpf.training.series import Intervals, asleep, intervals
from sentinel_bpf.training.traffic import Generator, stream

INTERVALS_MIN = 30
SAMPLES_PER_FLOW = 120


def flow_samples(series: Intervals, rng: Generator) -> Samples | None:
    """Samples of one flow, at most SAMPLES_PER_FLOW; None where last value is always right.

    Moments at which the flow is asleep are left out: there the network is not asked.
    """
    following = series[1:].astype(float)
    last_error = np.abs(following - series[:-1]).sum()
    keep = np.flatnonzero(~asleep(series)[:-1])
    if not last_error or not len(keep):
        return None
    scale = series.mean()
    weight = scale / last_error
    if len(keep) > SAMPLES_PER_FLOW:
        weight *= len(keep) / SAMPLES_PER_FLOW
        keep = np.sort(rng.choice(keep, SAMPLES_PER_FLOW, replace=False))
    inputs = run_intervals(series, None).inputs[keep] / scale
    return Samples(inputs, following[keep] / scale, np.full(len(keep), weight))


def collect(part: str, *, seed: int, flows: int, shift: int) -> Samples:
    """Samples of `flows` generated flows of every kind; each flow weighs the same."""
    found = []
    for kind in KINDS:
        for number in range(flows):
            series = intervals(generate(kind, seed, part, number), shift)
            if len(series) < INTERVALS_MIN:
                continue
            made = flow_samples(series, stream(seed, part, kind, number, "choice"))
            if made is not None:
                found.append(made)
    if not found:
        raise BpfError(f"{flows} flows of each kind gave no sample: raise the number of flows")
    return Samples(
        inputs=np.concatenate([samples.inputs for samples in found]),
        targets=np.concatenate([samples.targets for samples in found]),
        weights=np.concatenate([samples.weights for samples in found]) / len(found),
    )

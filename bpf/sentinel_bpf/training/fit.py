"""The network's weights: least absolute error in floating point, then integers.

What is minimised is what the predictor is judged by: the mean over all flows of the error relative
to last value's (MASE), |error| smoothed to sqrt(error^2 + delta^2). Its minimiser is the median of
what may come. scikit-learn's networks minimise squares only; 136 weights need no deep-learning
framework; SciPy's L-BFGS with the gradient written out does it in a minute.

Integers: since the network is homogeneous, each hidden unit is scaled so that its largest weight
becomes 127 / 2^6, which costs nothing. Its weights are rounded, and the output's weights are then
fitted anew to the rounded units before they are rounded to 2^-12.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from sentinel_bpf import predict_abi as abi
from sentinel_bpf.predict_reference import Network

Floats = npt.NDArray[np.float64]

SMOOTHING = 0.01
HIDDEN_MAX = 127 / 2**abi.NETWORK_HIDDEN_SHIFT
OUTPUT_ONE = 2**abi.NETWORK_OUTPUT_SHIFT
_HIDDEN_SHAPE = (abi.NETWORK_HIDDEN, abi.NETWORK_INPUTS)
_HIDDEN_SIZE = abi.NETWORK_HIDDEN * abi.NETWORK_INPUTS


@dataclass(frozen=True)
class Samples:
    """Inputs and what came next, scaled by any figure of the flow; and what an error weighs."""

    inputs: Floats
    targets: Floats
    weights: Floats
    """So that the weighted sum of absolute errors is the mean MASE."""


@dataclass(frozen=True)
class Weights:
    """The network in floating point."""

    hidden: Floats
    output: Floats
    direct: Floats

    def flat(self) -> Floats:
        return np.concatenate([self.hidden.ravel(), self.output, self.direct])

    @classmethod
    def unflat(cls, values: Floats) -> Weights:
        hidden = values[:_HIDDEN_SIZE].reshape(_HIDDEN_SHAPE)
        output, direct = np.split(values[_HIDDEN_SIZE:], [abi.NETWORK_HIDDEN])
        return cls(hidden, output, direct)


def loss(weights: Weights, samples: Samples, *, fixed_hidden: bool) -> tuple[float, Floats]:
    """Mean smoothed MASE, and its gradient."""
    raw = samples.inputs @ weights.hidden.T
    units = np.maximum(raw, 0)
    before = units @ weights.output + samples.inputs @ weights.direct
    error = np.maximum(before, 0) - samples.targets
    smooth = np.sqrt(error * error + SMOOTHING**2)
    slope = samples.weights * error / smooth * (before > 0)
    to_output, to_direct = slope @ units, slope @ samples.inputs
    to_hidden = np.zeros(_HIDDEN_SHAPE)
    if not fixed_hidden:
        to_hidden = ((raw > 0) * slope[:, None]).T @ samples.inputs * weights.output[:, None]
    gradient = np.concatenate([to_hidden.ravel(), to_output, to_direct])
    return float(samples.weights @ smooth), gradient


def _minimise(start: Weights, samples: Samples, iterations: int, *, fixed_hidden: bool) -> Weights:
    def objective(values: Floats) -> tuple[float, Floats]:
        return loss(Weights.unflat(values), samples, fixed_hidden=fixed_hidden)

    call: Callable[[Floats], tuple[float, Floats]] = objective
    found = minimize(
        call,
        start.flat(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "maxfun": 2 * iterations},
    )
    return Weights.unflat(np.asarray(found.x))


def start_weights(rng: np.random.Generator) -> Weights:
    """Last value, plus small random units (He et al. 2015)."""
    hidden = rng.normal(0, np.sqrt(2 / abi.NETWORK_INPUTS), _HIDDEN_SHAPE)
    direct = np.zeros(abi.NETWORK_INPUTS)
    direct[0] = 1.0
    return Weights(hidden, rng.normal(0, 0.1, abi.NETWORK_HIDDEN), direct)


def fit(samples: Samples, rng: np.random.Generator, iterations: int = 400) -> Weights:
    """Weights in floating point from one random start."""
    return _minimise(start_weights(rng), samples, iterations, fixed_hidden=False)


def quantise(weights: Weights, samples: Samples, interval_shift: int) -> Network:
    """The network in integers; the output's weights are fitted again to the rounded units."""
    peak = np.maximum(np.abs(weights.hidden).max(axis=1), 1e-9)
    whole = np.rint(weights.hidden / peak[:, None] * 127).astype(int)
    rounded = Weights(
        whole / 2**abi.NETWORK_HIDDEN_SHIFT, weights.output * peak / HIDDEN_MAX, weights.direct
    )
    refined = _minimise(rounded, samples, 200, fixed_hidden=True)
    output, direct = (_whole(part) for part in (refined.output, refined.direct))
    return Network(tuple(tuple(row) for row in whole.tolist()), output, direct, interval_shift)


def _whole(values: Floats) -> tuple[int, ...]:
    limit = 2**15 - 1
    return tuple(int(v) for v in np.clip(np.rint(values * OUTPUT_ONE), -limit, limit))


def mean_mase(network: Network, samples: Samples) -> float:
    """Of the integer network, evaluated in floating point (rounding of outputs left out)."""
    hidden = np.array(network.hidden) / 2**abi.NETWORK_HIDDEN_SHIFT
    units = np.maximum(samples.inputs @ hidden.T, 0)
    raw = units @ np.array(network.output) + samples.inputs @ np.array(network.direct)
    error = np.abs(np.maximum(raw / OUTPUT_ONE, 0) - samples.targets)
    return float(samples.weights @ error)

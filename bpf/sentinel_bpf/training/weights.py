"""The shipped weights, and the value of the model map.

predict_weights.json says beside the weights what they were trained on, with which seed and by
which code. It is read, checked and turned into struct sentinel_models here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinel_bpf import predict_abi as abi
from sentinel_bpf.errors import BpfError
from sentinel_bpf.predict_reference import Network

SHIPPED = Path(__file__).parents[1] / "predict_weights.json"


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """Weights, and where they come from."""

    network: Network
    version: int
    """At least 1; rises with every set of weights that is shipped."""
    provenance: dict[str, Any]
    """Kinds, flows, seed, commit, validation error: what `train` wrote."""

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps(
            {
                "format": abi.MODEL_FORMAT,
                "version": self.version,
                "interval_shift": self.network.interval_shift,
                "trained": self.provenance,
                "hidden": [list(row) for row in self.network.hidden],
                "output": list(self.network.output),
                "direct": list(self.network.direct),
            },
            indent=1,
        )


def load(path: Path = SHIPPED) -> TrainedModel:
    """Read a file of weights. Raises BpfError, saying what is wrong where."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BpfError(f"{path}: {error.strerror}; `make train` makes one") from error
    except ValueError as error:
        raise BpfError(f"{path}: not JSON: {error}") from error
    if not isinstance(data, dict) or data.get("format") != abi.MODEL_FORMAT:
        raise BpfError(f"{path}: format {abi.MODEL_FORMAT} is needed; `make train` makes one")
    try:
        network = Network(
            hidden=tuple(tuple(row) for row in data["hidden"]),
            output=tuple(data["output"]),
            direct=tuple(data["direct"]),
            interval_shift=data["interval_shift"],
        )
        check(network, data["version"])
        return TrainedModel(network, data["version"], data["trained"])
    except (KeyError, TypeError) as error:
        raise BpfError(f"{path}: {error!r} is missing or of the wrong type") from error
    except BpfError as error:
        raise BpfError(f"{path}: {error}") from error


def check(network: Network, version: int) -> None:
    """Raise BpfError unless the network fits struct sentinel_model."""
    if not 1 <= version < 2**32:
        raise BpfError(f"version is 1 to 2^32 - 1 (0 is an empty slot), got {version}")
    if not abi.SHIFT_MIN <= network.interval_shift <= abi.SHIFT_MAX:
        raise BpfError(
            f"interval_shift is {abi.SHIFT_MIN} to {abi.SHIFT_MAX}, got {network.interval_shift}"
        )
    if len(network.hidden) != abi.NETWORK_HIDDEN:
        raise BpfError(f"{abi.NETWORK_HIDDEN} hidden units are needed, got {len(network.hidden)}")
    for row in network.hidden:
        _check_row("hidden", row, abi.NETWORK_INPUTS, 7)
    _check_row("output", network.output, abi.NETWORK_HIDDEN, 15)
    _check_row("direct", network.direct, abi.NETWORK_INPUTS, 15)


def _check_row(name: str, row: tuple[int, ...], length: int, bits: int) -> None:
    if len(row) != length:
        raise BpfError(f"{name}: {length} weights are needed, got {len(row)}")
    for weight in row:
        if not isinstance(weight, int) or not -(2**bits) <= weight < 2**bits:
            raise BpfError(f"{name}: a weight is an integer of {bits + 1} bits, got {weight!r}")


def to_model(network: Network, version: int) -> abi.Model:
    """struct sentinel_model. Raises BpfError if it does not fit."""
    check(network, version)
    model = abi.Model(version=version, interval_shift=network.interval_shift)
    for unit, row in enumerate(network.hidden):
        for index, weight in enumerate(row):
            byte = weight + abi.NETWORK_WEIGHT_ZERO
            model.hidden_weight[index][unit // 2] |= byte << 32 * (unit % 2)
    model.output_weight[:] = network.output
    for index, weight in enumerate(network.direct):
        counts = 1 << abi.NETWORK_COUNT_SHIFT
        model.direct_weight[index] = weight + abi.NETWORK_DIRECT_ZERO | counts
    return model


def swap(models: abi.Models, model: abi.Model) -> tuple[abi.Models, abi.Models]:
    """The two values to write to the model map, one after the other, to change to `model`.

    The first fills the slot that is not in use, the second makes it the one in use. At no moment
    does a packet find a slot that is half written.
    """
    idle = 1 - (models.active & 1)
    filled = abi.Models.from_buffer_copy(models)
    filled.slot[idle] = model
    flipped = abi.Models.from_buffer_copy(filled)
    flipped.active = idle
    return filled, flipped

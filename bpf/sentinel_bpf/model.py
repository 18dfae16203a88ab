"""The predictor's network in a running FSU: read, and swapped without stopping traffic.

A freshly made map has no network: the expert bank then works alone. Whoever attaches an FSU
installs one (`install_shipped`).
"""

from __future__ import annotations

from sentinel_bpf import maps, predict_abi
from sentinel_bpf.errors import BpfError
from sentinel_bpf.training import weights
from sentinel_bpf.training.weights import TrainedModel

MAP = "fsu_models"
_KEY = maps.index_key(0)


def read(fd: int) -> predict_abi.Models:
    """The value of fsu_models. Raises BpfError."""
    value = maps.lookup(fd, _KEY)
    if value is None:
        raise BpfError(f"map descriptor {fd} has no value at 0: not {MAP}")
    return predict_abi.Models.from_buffer_copy(value)


def install(fd: int, trained: TrainedModel) -> None:
    """Fill the idle slot, then flip: no packet finds a slot half written. Raises BpfError."""
    model = weights.to_model(trained.network, trained.version)
    for value in weights.swap(read(fd), model):
        maps.update(fd, _KEY, bytes(value))


def install_shipped(fd: int) -> TrainedModel:
    """The weights that come with the package; returns what was installed. Raises BpfError."""
    trained = weights.load()
    install(fd, trained)
    return trained


def active_version(fd: int) -> int:
    """Version of the network in use; 0: none. Raises BpfError."""
    models = read(fd)
    return int(models.slot[models.active & 1].version)

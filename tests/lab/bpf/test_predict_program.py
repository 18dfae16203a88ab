"""The predictor inside the kernel, packet by packet, equals its reference bit for bit."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.bpf.predict_support import Packet, as_dict, random_network, random_packets

from sentinel_bpf import maps, test_run
from sentinel_bpf import predict_abi as abi
from sentinel_bpf.compiled import ProgramType
from sentinel_bpf.loader import FLOW_SOURCE, CompiledSource, ProgramSet
from sentinel_bpf.predict_reference import Network, PredictState
from sentinel_bpf.training.kinds import KINDS, generate
from sentinel_bpf.training.weights import load, swap, to_model

pytestmark = pytest.mark.lab

PROBE = Path(__file__).with_name("predict_probe.c")
FIRST = maps.index_key(0)
VERIFIER_STEPS_MAX = 100_000
INSTRUCTIONS_MAX = 4_500
"""Four turns of the bank are written out, for the verifier of Linux 6.1: sentinel_bank.h."""


@pytest.fixture(scope="module")
def probe_source(bpf_lab: None) -> Iterator[CompiledSource]:
    with CompiledSource.compile(
        PROBE, [f"-I{FLOW_SOURCE.parent}"], programs={"predict_probe": ProgramType.XDP}
    ) as compiled:
        yield compiled


@pytest.fixture
def probe(probe_source: CompiledSource) -> Iterator[ProgramSet]:
    with probe_source.instantiate() as programs:
        yield programs


def send(probe: ProgramSet, packets: list[Packet]) -> None:
    fd = probe.prog_fd("predict_probe")
    for now_ns, size in packets:
        frame = bytes(14) + struct.pack("<QI", now_ns, size) + bytes(38)
        assert test_run.run(fd, frame).verdict == test_run.XDP_PASS


def read_state(probe: ProgramSet) -> abi.Predict:
    raw = maps.lookup(probe.map_fd("predict_state"), FIRST)
    assert raw is not None
    return abi.Predict.from_buffer_copy(raw)


def load_model(probe: ProgramSet, network: Network, version: int) -> None:
    fd = probe.map_fd("predict_models")
    raw = maps.lookup(fd, FIRST)
    assert raw is not None
    for value in swap(abi.Models.from_buffer_copy(raw), to_model(network, version)):
        maps.update(fd, FIRST, bytes(value))


@pytest.mark.parametrize("seed", range(6))
def test_random_packets_without_a_model(probe: ProgramSet, seed: int) -> None:
    packets = random_packets(seed, 1500)
    send(probe, packets)
    expected = PredictState()
    for now_ns, size in packets:
        expected.packet(None, now_ns, size)
    assert as_dict(read_state(probe)) == as_dict(expected)


@pytest.mark.parametrize("seed", range(6))
def test_random_packets_while_models_are_swapped(probe: ProgramSet, seed: int) -> None:
    expected = PredictState()
    packets = random_packets(seed, 2000)
    for version in range(1, 5):
        network = random_network(seed * 10 + version, 20 + (seed + version) % 8)
        load_model(probe, network, version)
        part = packets[(version - 1) * 500 : version * 500]
        send(probe, part)
        for now_ns, size in part:
            expected.packet(network, now_ns, size)
    assert as_dict(read_state(probe)) == as_dict(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_generated_flows_with_the_shipped_weights(probe: ProgramSet, kind: str) -> None:
    trained = load()
    load_model(probe, trained.network, trained.version)
    flow = generate(kind, 3, "lab", 0)
    packets = list(zip(flow.times_ns.tolist()[:3000], flow.sizes.tolist()[:3000], strict=True))
    send(probe, packets)
    expected = PredictState()
    for now_ns, size in packets:
        expected.packet(trained.network, now_ns, size)
    assert as_dict(read_state(probe)) == as_dict(expected)


def test_the_predictor_stays_within_its_verifier_budget(probe: ProgramSet) -> None:
    (stats,) = probe.stats()
    assert stats.translated_instructions <= INSTRUCTIONS_MAX
    assert stats.verified_instructions <= VERIFIER_STEPS_MAX

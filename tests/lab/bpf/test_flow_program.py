"""What the FSU makes of single frames and of sequences, by BPF_PROG_TEST_RUN.

Map contents are compared bit for bit with sentinel_bpf.reference; time is an input (the map
fsu_test_clock), so there is nothing to allow for.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.lab.bpf.frame_cases import FLOWS, OTHERS, Flow, v4

from sentinel_bpf import maps, test_run
from sentinel_bpf.flow_map import FlowRecord, read_counters, read_flows
from sentinel_bpf.frames import tcp
from sentinel_bpf.loader import CompiledSource, ProgramSet
from sentinel_bpf.reference.fsu import FsuReference

pytestmark = pytest.mark.lab

PROGRAM = "flow_stabilization_unit"


def feed(programs: ProgramSet, frame: bytes, now_ns: int = 0) -> None:
    """One frame at a given time; the verdict is always XDP_PASS."""
    maps.update(programs.map_fd("fsu_test_clock"), maps.index_key(0), now_ns.to_bytes(8, "little"))
    assert test_run.run(programs.prog_fd(PROGRAM), frame).verdict == test_run.XDP_PASS


def raw_flows(programs: ProgramSet) -> dict[bytes, bytes]:
    return {
        key: value
        for name in ("flow_metrics_map", "flow_metrics6")
        for key, value in maps.items(programs.map_fd(name))
    }


def records(programs: ProgramSet) -> list[FlowRecord]:
    return read_flows(programs.map_fd("flow_metrics_map"), programs.map_fd("flow_metrics6"))


def reference_counters(reference: FsuReference) -> dict[str, int]:
    return {counter.name.lower(): count for counter, count in reference.counters.items()}


@pytest.mark.parametrize("name", FLOWS)
def test_frame_is_counted_in_its_flow(clocked_fsu: ProgramSet, name: str) -> None:
    frame, expected = FLOWS[name]
    feed(clocked_fsu, frame, 123)
    [record] = records(clocked_fsu)
    found = Flow(
        (record.source_address, record.source_port),
        (record.target_address, record.target_port),
        record.protocol,
        record.forward.packets_total == 1,
        record.vlan,
        record.outer_vlan,
    )
    assert found == expected
    reference = FsuReference()
    reference.observe(frame, 123)
    assert raw_flows(clocked_fsu) == reference.entries()
    counters = read_counters(clocked_fsu.map_fd("fsu_counters"))
    family = "flow6" if ":" in record.source_address else "flow4"
    assert {key: count for key, count in counters.items() if count} == {"passed": 1, family: 1}


@pytest.mark.parametrize("name", OTHERS)
def test_frame_belongs_to_no_flow(clocked_fsu: ProgramSet, name: str) -> None:
    frame, counter = OTHERS[name]
    feed(clocked_fsu, frame)
    reference = FsuReference()
    reference.observe(frame, 0)
    assert reference_counters(reference) == {counter: 1}
    counters = read_counters(clocked_fsu.map_fd("fsu_counters"))
    assert {key: count for key, count in counters.items() if count} == {"passed": 1, counter: 1}
    assert raw_flows(clocked_fsu) == {}


@pytest.mark.parametrize(
    "name", [name for name in FLOWS if "padded" not in name and "jumbo" not in name]
)
def test_no_truncation_of_a_frame_is_taken_for_a_flow(clocked_fsu: ProgramSet, name: str) -> None:
    frame, _ = FLOWS[name]
    for length in range(test_run.FRAME_MIN_BYTES, len(frame)):
        feed(clocked_fsu, frame[:length])
    counters = read_counters(clocked_fsu.map_fd("fsu_counters"))
    count = len(frame) - test_run.FRAME_MIN_BYTES
    assert counters["passed"] == counters["parse_fail"] == count
    assert raw_flows(clocked_fsu) == {}


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=st.sampled_from([*FLOWS, *OTHERS]),
    changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 60),
)
def test_whatever_comes_passes_and_is_counted_once(
    clocked_fsu: ProgramSet, name: str, changes: list[tuple[int, int]], cut: int
) -> None:
    frame = bytearray(FLOWS[name][0] if name in FLOWS else OTHERS[name][0])
    for position, value in changes:
        frame[position % len(frame)] = value
    del frame[max(test_run.FRAME_MIN_BYTES, len(frame) - cut) :]
    before = read_counters(clocked_fsu.map_fd("fsu_counters"))
    feed(clocked_fsu, bytes(frame))
    reference = FsuReference()
    reference.observe(bytes(frame), 0)
    after = read_counters(clocked_fsu.map_fd("fsu_counters"))
    grown = [key for key in after if after[key] != before[key]]
    assert grown == ["passed", *reference_counters(reference)]
    assert sum(after.values()) == sum(before.values()) + 2


def test_a_full_map_gives_up_old_flows_and_keeps_counting(clocked_source: CompiledSource) -> None:
    with clocked_source.instantiate(max_entries={"flow_metrics_map": 64}) as programs:
        for port in range(1000, 2000):
            feed(programs, v4(tcp(port, 80)), port)
        counters = read_counters(programs.map_fd("fsu_counters"))
        assert counters["flow4"] == 1000
        assert counters["insert_fail"] == 0
        found = records(programs)
        assert 0 < len(found) <= 64
        assert all(record.forward.packets_total == 1 for record in found)

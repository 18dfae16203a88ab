"""From reports of nodes and readings of wires to one measurement."""

from __future__ import annotations

from tests.unit.emulated.specs import MS, line

from sentinel_bpf.wire import LossReading, ProbeReading
from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_sim.backends.emulated.assemble import (
    WireState,
    flow_measurement,
    fsu_report,
    wire_measurement,
)
from sentinel_sim.plan.model import Arm
from sentinel_sim.wire.rate import RateCounters


def connection(flow_id: int, retransmitted: int, direction: str = "out") -> pb.ConnectionReport:
    last = pb.TcpInfoSample(t_ns=9, bytes_retrans=retransmitted)
    return pb.ConnectionReport(direction=direction, flow_id=flow_id, last=last, samples=[last])


def reports(*, complete: bool = True, ok: bool = True) -> dict[str, pb.CollectReply]:
    sent = pb.FlowReport(
        flow_id=1, start_ns=100, first_byte_ns=150, last_byte_ns=900, payload_bytes=5000
    )
    got = pb.FlowReport(
        flow_id=1,
        first_byte_ns=300,
        last_byte_ns=990,
        payload_bytes=5000,
        complete=complete,
        sha256_ok=ok,
    )
    return {
        "s": pb.CollectReply(flows=[sent], connections=[connection(1, 10)]),
        "m": pb.CollectReply(connections=[connection(1, 20), connection(1, 0, "in")]),
        "r": pb.CollectReply(flows=[got], connections=[connection(1, 0, "in")]),
    }


def test_retransmissions_are_kept_apart_by_hop() -> None:
    spec = line(Arm.SPLIT)
    flow = flow_measurement(spec, spec.flows[0], reports())
    assert flow.retransmitted_bytes == {"s->m": 10, "m->r": 20}
    assert {sample["connection"] for sample in flow.tcp_info} == {"s->m", "m->r"}


def test_end_to_end_connections_are_named_by_their_ends() -> None:
    spec = line(Arm.TUNED)
    replies = reports()
    del replies["m"]
    flow = flow_measurement(spec, spec.flows[0], replies)
    assert flow.retransmitted_bytes == {"s->r": 10}
    assert (flow.first_byte_ns, flow.last_byte_ns, flow.send_end_ns) == (300, 990, 900)


def test_a_digest_that_differs_is_false_and_an_unfinished_flow_has_none() -> None:
    spec = line(Arm.TUNED)
    assert flow_measurement(spec, spec.flows[0], reports(ok=False)).sha256_ok is False
    assert flow_measurement(spec, spec.flows[0], reports(complete=False)).sha256_ok is None


def test_a_flow_the_receiver_never_saw_is_an_error_not_a_zero() -> None:
    spec = line(Arm.TUNED)
    replies = reports()
    replies["r"] = pb.CollectReply()
    flow = flow_measurement(spec, spec.flows[0], replies)
    assert flow.error is not None
    assert "r: this node never saw the flow" in flow.error
    assert flow.first_byte_ns is None


def state(*, sent: int, dropped: int, entered: int, left: int) -> WireState:
    probe = ProbeReading(
        packets_in=entered,
        packets_out=left,
        bytes_in=0,
        bytes_out=0,
        skbs_in=entered,
        skbs_out=left,
        transits_ns=[10 * MS - 5, 10 * MS + 7],
        samples_total=2,
        transit_max_ns=10 * MS + 7,
        misses=0,
        ambiguous=0,
    )
    rate = RateCounters(sent * 1514, sent, 3, 0, 0)
    loss = LossReading(sent, dropped)
    spec = line()
    return WireState(spec.links[0], "s->m", 111, probe, loss, rate, None, {"netem": 0})


def test_lateness_is_transit_minus_request() -> None:
    wire = wire_measurement(state(sent=100, dropped=0, entered=100, left=100))
    assert wire.lateness_ns == (-5, 7)
    assert wire.base_cost_ns == 111


def test_packets_lost_on_purpose_entered_the_wire_too() -> None:
    wire = wire_measurement(state(sent=100, dropped=4, entered=96, left=96))
    assert (wire.packets_in, wire.loss_dropped, wire.packets_out) == (100, 4, 96)
    assert wire.drops_unplanned == {}
    assert wire.queue_dropped == 3


def test_packets_lost_between_the_stages_are_unplanned() -> None:
    wire = wire_measurement(state(sent=100, dropped=0, entered=98, left=98))
    assert wire.drops_unplanned == {"between_rate_and_delay": 2}


def test_fsu_flows_of_earlier_runs_are_left_out() -> None:
    old = pb.FlowMetrics(source_port=1, forward=pb.FlowMetricsHalf(last_timestamp=99))
    new = pb.FlowMetrics(source_port=2, backward=pb.FlowMetricsHalf(last_timestamp=200))
    report = fsu_report(pb.ReadFlowMetricsReply(flows=[old, new], attached=True), 100)
    assert [flow["source_port"] for flow in report["flows"]] == [2]

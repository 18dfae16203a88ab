"""The feasibility check: figures by hand, and the band between fits and cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sentinel_sim.errors import InfeasibleError
from sentinel_sim.plan.expand import expand
from sentinel_sim.topology import budget as budget_module
from sentinel_sim.topology.budget import CpuBudget, measure_budget
from sentinel_sim.topology.feasibility import check
from sentinel_sim.topology.findings import FeasibilityReport, Level
from sentinel_sim.topology.reader import loads

CHILE = (Path(__file__).parents[3] / "topologies" / "chile-usa.yaml").read_text()
TWO_CORES = CpuBudget(cores=2, datagram_ns=2700.0)


def report_of(text: str, *, memory_bytes: int = 24 * 10**9) -> FeasibilityReport:
    return check(expand(loads(text, "f.yaml")), TWO_CORES, memory_bytes=memory_bytes)


def finding(report: FeasibilityReport, code: str) -> tuple[Level, str]:
    (found,) = [item for item in report.findings if item.code == code and not item.subject]
    return found.level, found.render()


@pytest.mark.parametrize(
    ("rate", "level"),
    [
        ("1 Gbit/s", Level.INFO),
        ("2 Gbit/s", Level.WARN),
        ("2500 Mbit/s", Level.WARN),
        ("5 Gbit/s", Level.REFUSE),
        ("40 Gbit/s", Level.REFUSE),
        ("10 Tbit/s", Level.REFUSE),
    ],
)
def test_what_two_cores_carry_over_two_wires(rate: str, level: Level) -> None:
    assert finding(report_of(CHILE.replace("1 Gbit/s", rate)), "cpu")[0] == level


def test_the_cpu_figure_is_two_hops_per_wire_and_packet() -> None:
    _, text = finding(report_of(CHILE), "cpu")
    packets_per_s = round(10**9 / 8 / 1514)
    assert f"{packets_per_s:,} packets/s" in text
    assert "330,251 packet hops/s" in text
    assert "this host moves about 740,741" in text


def test_without_xdp_three_times_as_much_fits() -> None:
    text = CHILE.replace("1 Gbit/s", "5 Gbit/s") + "  xdp: off\n"
    assert finding(report_of(text), "cpu")[0] < Level.REFUSE


def test_a_fixed_window_limits_the_load_not_the_link() -> None:
    text = CHILE.replace("1 Gbit/s", "5 Gbit/s").replace("[100, 1000,", "[") + "  window: 64 KiB\n"
    assert finding(report_of(text), "cpu")[0] == Level.INFO


def test_memory_is_refused_with_both_figures() -> None:
    level, text = finding(report_of(CHILE, memory_bytes=500 * 10**6), "memory")
    assert level == Level.REFUSE
    # 22.5 MB in flight and two queues of 45 MB, in packets of 1514 bytes
    assert f"{round(112.5e6 / 1514):,} packets" in text
    assert "free are 500 MB" in text
    assert finding(report_of(CHILE), "memory")[0] == Level.INFO


def test_refusals_raise_with_every_line() -> None:
    report = report_of(CHILE.replace("1 Gbit/s", "10 Tbit/s"))
    with pytest.raises(InfeasibleError) as caught:
        report.raise_if_refused()
    assert caught.value.exit_code == 2
    assert len(str(caught.value).splitlines()) == len(report.refused)
    assert str(caught.value).startswith("f.yaml:")


def test_a_feasible_plan_raises_nothing_and_tells_bdp_per_distance() -> None:
    report = report_of(CHILE)
    report.raise_if_refused()
    figures = [item.figure for item in report.findings if item.code == "path"]
    assert len(figures) == 5
    assert (
        "RTT 360 ms, BDP 45 MB at 1 Gbit/s; arm direct can reach about 69.9 Mbit/s" in figures[-1]
    )


def test_short_and_lossy_runs_are_warned_about() -> None:
    text = CHILE.replace('"max(8 s, 60 rtt)"', "1 s").replace("loss: 0 %", "loss: 0.001 %")
    codes = {item.code for item in report_of(text).warnings}
    assert codes == {"losses", "duration"}


def test_a_stand_by_link_is_warned_about() -> None:
    link = "  - {endpoints: [valparaiso, boston], rate: 1 Gbit/s, cost: 9}\n"
    text = CHILE.replace("experiment:\n", link + "experiment:\n")
    (unused,) = [item for item in report_of(text).warnings if item.code == "unused"]
    assert "valparaiso--boston" in unused.figure


def test_arrivals_beyond_the_rate_are_warned_about() -> None:
    many = '{kind: many, flows: 100, arrival: "every 1 ms", size: 10 MB}'
    report = report_of(CHILE.replace('{kind: bulk, duration: "max(8 s, 60 rtt)"}', many))
    assert finding(report, "offered")[0] == Level.WARN


def test_a_swept_key_is_blamed_in_its_own_line() -> None:
    text = CHILE.replace("sweep: {", "sweep: {rate: [1 Gbit/s, 40 Gbit/s], ")
    level, line = finding(report_of(text), "cpu")
    assert level == Level.REFUSE
    number = text[: text.index("sweep: {rate")].count("\n") + 1
    assert line.startswith(f"f.yaml:{number}: experiment.sweep.rate: 40 Gbit/s")


def test_more_cores_help_only_as_far_as_wires_can_use_them() -> None:
    many = CpuBudget(cores=64, datagram_ns=1000.0)
    assert many.hops_per_s(wires=1) == 3 * many.hops_per_core_s
    assert many.hops_per_s(wires=100) == 64 * many.hops_per_core_s


def test_the_budget_is_measured_once_per_boot_and_host(tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "cache.json"
    first = measure_budget(cache)
    again = measure_budget(cache)
    assert first.measured
    assert not again.measured
    assert again.datagram_ns == first.datagram_ns
    assert 100 < first.datagram_ns < 1e6
    record = json.loads(cache.read_text())
    record["host"]["kernel"] = "another"
    cache.write_text(json.dumps(record))
    assert measure_budget(cache).measured


@pytest.mark.parametrize("content", ["", "[]", "{}", "{not json", '{"datagram_ns": 1e9}'])
def test_a_damaged_cache_is_measured_again(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget_module, "MEASURE_NS", 1_000_000)
    cache = tmp_path / "cache.json"
    cache.write_text(content)
    assert measure_budget(cache).measured


def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget_module, "MEASURE_NS", 1_000_000)
    (tmp_path / "file").write_text("")
    assert measure_budget(tmp_path / "file" / "cache.json").measured

"""The source design's claims about kernel against user space, judged by what was measured (pure).

A claim with several parts fails if one part fails, holds if all hold, and is undecided otherwise.
A part is judged by the 98 % interval of its figure: it holds if the whole interval is on the
claim's side of the limit, fails if it is wholly on the other, and is undecided between. So a part
that is false is said to hold in at most 1 % of the benchmarks, and the claim no more often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sentinel_sim.bench.estimates import Figure, figure, ratio
from sentinel_sim.bench.lanes import COPIES, COPIES_OF_FRAMES, USER_LANES, Lane
from sentinel_sim.bench.summary import Row, paired, row_of, select

BASE = Lane.XDP_NATIVE
US, MS = 1e3, 1e6


class Outcome(StrEnum):
    """What is said of a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Part:
    """One judged figure. `figure` is the measured value in words, `bound` the claim's limit."""

    claim: str
    part: str
    verdict: str
    figure: str
    bound: str
    how: str

    def as_json(self) -> dict[str, str]:
        """For the result file."""
        return asdict(self)


def below(found: Figure | None, limit: float) -> Outcome:
    """Whether the figure lies below."""
    if found is None or found.ci98 is None:
        return Outcome.UNDECIDED
    if found.ci98[1] < limit:
        return Outcome.HOLDS
    return Outcome.FAILS if found.ci98[0] >= limit else Outcome.UNDECIDED


def above(found: Figure | None, limit: float) -> Outcome:
    """Whether the figure lies above, or at the limit."""
    if found is None or found.ci98 is None:
        return Outcome.UNDECIDED
    if found.ci98[0] >= limit:
        return Outcome.HOLDS
    return Outcome.FAILS if found.ci98[1] < limit else Outcome.UNDECIDED


def within(found: Figure | None, low: float, high: float) -> Outcome:
    """Whether the figure lies from low to high."""
    sides = {above(found, low), below(found, high)}
    if Outcome.FAILS in sides:
        return Outcome.FAILS
    return Outcome.HOLDS if sides == {Outcome.HOLDS} else Outcome.UNDECIDED


def overall(parts: Sequence[Part]) -> dict[str, str]:
    """The verdict on each claim, by id."""
    found: dict[str, list[str]] = {}
    for part in parts:
        found.setdefault(part.claim, []).append(part.verdict)
    return {claim: _together(verdicts) for claim, verdicts in found.items()}


def _together(verdicts: Sequence[str]) -> str:
    if Outcome.FAILS in verdicts:
        return Outcome.FAILS.value
    return (Outcome.HOLDS if set(verdicts) == {Outcome.HOLDS} else Outcome.UNDECIDED).value


def as_figure(value: Mapping[str, Any] | None) -> Figure | None:
    """From its JSON form."""
    if value is None:
        return None
    ends = {key: value.get(key) and tuple(value[key]) for key in ("ci95", "ci98")}
    return Figure(value["mean"], ends["ci95"], value["n"], ends["ci98"])


def text_of(found: Figure | None, unit: str = "", scale: float = 1.0, digits: int = 3) -> str:
    """`12.3 [11.9, 12.8] us`, the interval being the judged one."""
    if found is None:
        return "not measured"
    words = (
        f"{found.mean / scale:,.{digits}g}"
        if abs(found.mean / scale) < 1000
        else (f"{found.mean / scale:,.0f}")
    )
    if found.ci98 is not None:
        low, high = (bound / scale for bound in found.ci98)
        words += (
            f" [{low:,.{digits}g}, {high:,.{digits}g}]"
            if abs(high) < 1000
            else (f" [{low:,.0f}, {high:,.0f}]")
        )
    return f"{words} {unit}".strip()


def flows_text(flows: int) -> str:
    """`1 flow`, `64,000 flows`."""
    return "1 flow" if flows == 1 else f"{flows:,} flows"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the judges look at."""

    result: Mapping[str, Any]
    rows: Sequence[Row]

    def row(self, lane: Lane, flows: int = 1) -> Row:
        """A lane's row; empty where it was not measured."""
        return row_of(self.rows, lane, flows) or {}

    def figure(self, lane: Lane, *keys: str, flows: int = 1) -> Figure | None:
        """A figure of a row by its path of keys."""
        value: Any = self.row(lane, flows)
        for key in keys:
            value = None if value is None else value.get(key)
        return as_figure(value)

    @property
    def user_lanes(self) -> list[Lane]:
        """Those that were measured."""
        return [lane for lane in USER_LANES if self.row(lane)]

    @property
    def flows(self) -> list[int]:
        """Numbers of flows measured."""
        return list(self.result["settings"]["flows"])

    def ratio(self, lane: Lane, key: str) -> Figure | None:
        """Of a user-space lane over native XDP, trial by trial, one flow."""
        trials = self.result["trials"]
        return ratio(*paired(select(trials, str(lane), 1), select(trials, str(BASE), 1), key))

    @property
    def rate(self) -> str:
        """The rate of the trials at equal rate, in words."""
        return f"{self.result['settings']['equal_pps']:,.0f} packets/s, 1 flow"


def judge(result: Mapping[str, Any], rows: Sequence[Row]) -> list[Part]:
    """All parts of all claims that this run can speak to."""
    evidence = Evidence(result, rows)
    judges: Sequence[Callable[[Evidence], list[Part]]] = (
        _fsu_cost,
        _user_latency,
        _speedup,
        _rates,
        _cpu,
        _switches,
        _copies,
    )
    return [part for one in judges for part in one(evidence)]


def _fsu_cost(evidence: Evidence) -> list[Part]:
    if not evidence.row(BASE):
        return []
    parts = []
    for flows in evidence.flows:
        cost = evidence.figure(BASE, "program_ns", flows=flows)
        parts.append(
            Part(
                "fsu-120us",
                f"program cost, {flows_text(flows)}",
                below(cost, 120 * US),
                text_of(cost, "ns"),
                "< 120 us a packet",
                "BPF_PROG_TEST_RUN, less an empty program",
            )
        )
    for name in ("p50", "p99"):
        added = evidence.figure(BASE, "added_ns", name)
        parts.append(
            Part(
                "fsu-120us",
                f"added latency {name}",
                below(added, 120 * US),
                text_of(added, "us", US),
                "< 120 us",
                f"one way through the box, less plain forwarding, {evidence.rate}",
            )
        )
    return parts


def _user_latency(evidence: Evidence) -> list[Part]:
    return [
        Part(
            "userspace-10-60ms",
            f"{lane}, added latency {name}",
            within(added, 10 * MS, 60 * MS),
            text_of(added, "us", US),
            "10 to 60 ms",
            f"one way through the box, less plain forwarding, {evidence.rate}",
        )
        for lane in evidence.user_lanes
        for name in ("p50", "p99")
        for added in [evidence.figure(lane, "added_ns", name)]
    ]


def _speedup(evidence: Evidence) -> list[Part]:
    if not evidence.row(BASE):
        return []
    return [
        Part(
            "speedup-83-500",
            f"{lane} / {BASE}, latency {name}",
            above(factor, 83),
            text_of(factor, "times"),
            ">= 83 (the claim says 83 to 500)",
            f"whole one-way latency, pair by pair, {evidence.rate}",
        )
        for lane in evidence.user_lanes
        for name in ("p50", "p99")
        for factor in [evidence.ratio(lane, f"delay_{name}_ns")]
    ]


def _rates(evidence: Evidence) -> list[Part]:
    parts = []
    if evidence.row(BASE):
        parts = [*_program_rates(evidence), *_live_rates(evidence)]
        parts.append(_zero_loss(evidence, BASE, above, 10e6, "> 10,000,000 packets/s"))
    for lane in evidence.user_lanes:
        parts.append(_zero_loss(evidence, lane, below, 100e3, "<= 100,000 packets/s"))
        if evidence.row(BASE):
            factor = _rate_ratio(evidence, lane)
            parts.append(
                Part(
                    "xdp-10mpps",
                    f"{BASE} / {lane}",
                    above(factor, 100),
                    text_of(factor, "times"),
                    ">= 100 times",
                    "packets/s at zero loss, pass by pass, 1 flow",
                )
            )
    return parts


def _program_rates(evidence: Evidence) -> list[Part]:
    parts = []
    for flows in evidence.flows:
        cost = evidence.figure(BASE, "program_ns", flows=flows)
        rate = None if cost is None or cost.mean <= 0 else 1e9 / cost.mean
        parts.append(
            Part(
                "xdp-10mpps",
                f"program alone, {flows_text(flows)}",
                below(cost, 100),
                "not measured" if rate is None else f"{rate / 1e6:.1f} M packets/s",
                "> 10 M packets/s",
                "1 / program cost by BPF_PROG_TEST_RUN less an empty program: no packet moves",
            )
        )
    return parts


def _live_rates(evidence: Evidence) -> list[Part]:
    return [
        Part(
            "xdp-10mpps",
            f"live frames, {flows_text(one['flows'])}",
            above(rate, 10e6),
            text_of(rate, "M packets/s", 1e6),
            "> 10 M packets/s",
            "kernel-made XDP frames through the FSU into the stack: no driver, no wire",
        )
        for one in evidence.result["live"]
        if one["kind"] == "full"
        for rate in [figure(one["pps"])]
    ]


def _zero_loss(
    evidence: Evidence,
    lane: Lane,
    side: Callable[[Figure | None, float], Outcome],
    limit: float,
    bound: str,
) -> Part:
    rate = evidence.figure(lane, "pps")
    verdict = side(rate, limit)
    generator = "generator" in evidence.row(lane).get("pps_bound_by", [])
    if generator and verdict is Outcome.FAILS and limit >= 10e6:
        verdict = Outcome.UNDECIDED  # the lane might carry more than could be sent
    note = "; bound by the generator, not by the lane" if generator else ""
    return Part(
        "xdp-10mpps",
        f"{lane}, veth end to end",
        verdict,
        text_of(rate, "packets/s") + note,
        bound,
        "packets/s at zero loss through the box, 1 flow, one CPU",
    )


def _rate_ratio(evidence: Evidence, lane: Lane) -> Figure | None:
    by_pass: dict[str, dict[int, float]] = {str(lane): {}, str(BASE): {}}
    for one in evidence.result["throughput"]:
        if one["flows"] == 1 and one["variant"] in by_pass:
            by_pass[one["variant"]][one["pass"]] = one["pps"]
    common = sorted(by_pass[str(lane)].keys() & by_pass[str(BASE)].keys())
    return ratio(
        [by_pass[str(BASE)][number] for number in common],
        [by_pass[str(lane)][number] for number in common],
    )


def _cpu(evidence: Evidence) -> list[Part]:
    if not evidence.row(BASE):
        return []
    parts = []
    for lane in evidence.user_lanes:
        factor = evidence.ratio(lane, "cpu_share")
        shares = [evidence.figure(one, "cpu_share") for one in (lane, BASE)]
        both = " against ".join(text_of(share, "%", 0.01) for share in shares)
        parts.append(
            Part(
                "cpu-16x",
                f"{lane} / {BASE}",
                above(factor, 16),
                f"{text_of(factor, 'times')}: {both} of a CPU",
                ">= 16 times (80 % against 5 %)",
                f"CPU time of the polling thread and the lane's process, {evidence.rate}",
            )
        )
    return parts


def _switches(evidence: Evidence) -> list[Part]:
    parts = []
    for lane in evidence.user_lanes:
        found = evidence.figure(lane, "voluntary_per_s")
        parts.append(
            Part(
                "switches-100x",
                f"{lane}, voluntary",
                above(found, 10_000),
                text_of(found, "a second"),
                "> 10,000 a second",
                f"polling thread and the lane's process, {evidence.rate}",
            )
        )
    if evidence.row(BASE):
        found = evidence.figure(BASE, "softirq_switches_per_s")
        thread = evidence.figure(BASE, "voluntary_per_s")
        parts.append(
            Part(
                "switches-100x",
                f"{BASE}, in soft interrupts",
                below(found, 100),
                f"{text_of(found, 'a second')}; polled by a thread: {text_of(thread, 'a second')}",
                "< 100 a second",
                f"switches of the whole host, less those of plain forwarding, {evidence.rate}",
            )
        )
    return parts


def _copies(evidence: Evidence) -> list[Part]:
    parts = []
    for lane in evidence.user_lanes:
        count = COPIES[lane].count
        verdict = Outcome.HOLDS if 3 <= count <= 5 else Outcome.FAILS
        words = f"{count} ({COPIES[lane].how})"
        parts.append(
            Part("zero-copy", str(lane), verdict, words, "3 to 5 copies", COPIES[lane].reasoning)
        )
    if evidence.row(BASE):
        copies = COPIES[BASE]
        verdict = Outcome.HOLDS if copies.count == 0 else Outcome.FAILS
        words = f"{copies.count} on veth ({copies.how}), {COPIES_OF_FRAMES} for XDP frames"
        parts.append(Part("zero-copy", str(BASE), verdict, words, "0 copies", copies.reasoning))
    return parts

"""All thirty claims of the source design, the untestable ones included (pure).

The claims are hypotheses, their numbers the source's own. Each entry says how it is tested here,
or why it cannot be.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

RUN = "sentinel-sim run topologies/chile-usa.yaml"
BENCH = "sentinel-sim bench"


class Means(StrEnum):
    """What a claim is tested with."""

    RUN = "run"
    """An experiment: `sentinel-sim run`."""
    BENCH = "bench"
    """Kernel against user space: `sentinel-sim bench`."""
    SUITE = "suite"
    """The project's own tests or training, not a result file."""
    LATER = "later"
    """Testable, but no part of this version measures it."""
    NOTHING = "nothing"
    """Not testable with a measuring tool on one host."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim. `arms`: whose runs speak for it; the first that was run is the claim's own."""

    id: str
    text: str
    means: Means
    how: str
    """How it is tested, or why it cannot be."""
    command: str | None = None
    """What would measure it."""
    arms: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


_FSU = ("fsu",)
_CONFIRMING = ("fsu", "split")
_ANY = ("fsu", "split", "tuned", "direct")
"""The FSU observes in every arm."""

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "throughput-constant",
        "throughput stays constant within ±10 % from 100 through 1,000, 5,000 and 10,000 to"
        " 20,000 km",
        Means.RUN,
        "delivered goodput only, per arm, loss and size; all distances equivalent within the ratio"
        " 1.1/0.9 at an error of 1 %",
        RUN,
        _FSU,
        ("RFC 6349", "Schuirmann 1987 (equivalence by two one-sided tests)"),
    ),
    Claim(
        "latency-below-rtt",
        "latency lies below the physical RTT",
        Means.RUN,
        "split in two: a local confirmation may come before one path RTT; delivery cannot come"
        " before one-way propagation",
        RUN,
        _CONFIRMING,
        ("RFC 3135, section 4",),
    ),
    Claim(
        "fsu-120us",
        "the FSU costs less than 120 us a packet",
        Means.BENCH,
        "program cost, in situ, and added latency",
        BENCH,
        sources=("Høiland-Jørgensen et al., CoNEXT 2018",),
    ),
    Claim(
        "userspace-10-60ms",
        "the same work in user space takes 10 to 60 ms",
        Means.BENCH,
        "the same figures computed by a packet socket and an asyncio relay",
        BENCH,
    ),
    Claim(
        "speedup-83-500",
        "XDP is 83 to 500 times faster in latency",
        Means.BENCH,
        "ratio of the two latencies, in the same run, pair by pair",
        BENCH,
    ),
    Claim(
        "xdp-10mpps",
        "more than 10 M packets/s in XDP against 100 k in user space",
        Means.BENCH,
        "program rate, live frames, and veth end to end, apart",
        BENCH,
        sources=("Høiland-Jørgensen et al., CoNEXT 2018: 24 M/s a core on a 100 G NIC",),
    ),
    Claim(
        "cpu-16x",
        "80 % of a CPU in user space against 5 %",
        Means.BENCH,
        "CPU time at equal packets/s",
        BENCH,
    ),
    Claim(
        "switches-100x",
        "more than 10,000 context switches/s against fewer than 100",
        Means.BENCH,
        "context switches at equal packets/s",
        BENCH,
    ),
    Claim(
        "zero-copy",
        "3 to 5 memory copies against none",
        Means.BENCH,
        "counted by design and by tracing; veth itself copies",
        BENCH,
    ),
    Claim(
        "bdp-realtime",
        "the BDP is computed in real time in the data path",
        Means.RUN,
        "the FSU's least RTT against TCP_INFO of the same run; its throughput and BDP against a"
        " reference in the lab tests",
        RUN,
        _ANY,
    ),
    Claim(
        "buffer-formula",
        "the optimal buffer is throughput x RTT x pattern factor (1.5 for bursts) x 1.2",
        Means.SUITE,
        "the arithmetic is tested bit for bit; whether this buffer does better than 1.0 BDP needs"
        " a sweep of buffers, which is not built yet",
        "make test ARGS=tests/unit/bpf",
    ),
    Claim(
        "predicts-pattern",
        "the FSU predicts the next packet and the traffic pattern",
        Means.RUN,
        "bytes in the next interval (33.6 ms), by MASE against the last value, over all data at all"
        " FSUs of a run; what it expects of the next packet is not recorded in runs; generated"
        " traffic: make train",
        RUN,
        _ANY,
        ("Hyndman and Koehler 2006 (MASE)",),
    ),
    Claim(
        "buffer-before",
        "buffers are adjusted before the packet arrives",
        Means.RUN,
        "lead time: first byte at a node minus the moment its buffer was ready",
        RUN,
        _FSU,
    ),
    Claim(
        "local-confirm",
        "intermediates confirm locally at once while transmitting in parallel",
        Means.RUN,
        "confirm latency against delivered latency of the same run, and exposure",
        RUN,
        _CONFIRMING,
        ("RFC 3135, section 3.1.1",),
    ),
    Claim(
        "synced-not-retransmitted",
        "state is synchronised instead of data being retransmitted",
        Means.RUN,
        "retransmitted payload in runs in which packets were lost; can hold for state, cannot for"
        " lost payload",
        "sentinel-sim run topologies/lossy.yaml",
        _CONFIRMING,
        ("RFC 9293, section 3.8",),
    ),
    Claim(
        "microsecond-sync",
        "flow state is synchronised with microsecond latency",
        Means.RUN,
        "phase error of the receiver's replica; between hosts light bounds news, not forecasts",
        RUN,
        _FSU,
    ),
    Claim(
        "metadata-with-data",
        "the sender transmits data and metadata",
        Means.RUN,
        "bytes in the control band per delivered byte",
        RUN,
        _FSU,
    ),
    Claim(
        "watchdog-phase",
        "a watchdog keeps the nodes in phase",
        Means.RUN,
        "phase error p99 below one RTT of the path (the source names no figure; this bound is"
        " ours)",
        RUN,
        _FSU,
        ("RFC 5880 (BFD)",),
    ),
    Claim(
        "self-repair",
        "a watchdog repairs nodes by itself",
        Means.RUN,
        "every planned fault is repaired, and the flow completes",
        "sentinel-sim run FILE (with a faults: section in the file)",
        _CONFIRMING,
    ),
    Claim(
        "ring0",
        "enforcement in the kernel cannot be bypassed from user space",
        Means.SUITE,
        "escape attempts by a node's root, in the lab tests",
        "make test ARGS=tests/lab/emulated/test_enforcement.py",
    ),
    Claim(
        "smooth-1.5N",
        "the smoothing factor grows as 1.5^N over N stages",
        Means.RUN,
        "variation of bytes in blocks of 1, 10 and 100 ms behind each of N = 1 to 10 intermediates"
        " at equal rate: the factor a stage, over all stages and over the last half",
        "sentinel-sim run topologies/smoothing.yaml --backend simulated",
        _ANY,
        ("Le Boudec and Thiran 2001 (min-plus)", "derived: N^(1/4) for averaging stages"),
    ),
    Claim(
        "edge-shield",
        "the destination sanitises telemetry at the edge",
        Means.LATER,
        "attack and hard benign corpora, byte properties",
        sources=("AIOpsShield, arXiv 2508.06394",),
    ),
    Claim(
        "receiver-validates",
        "the destination validates the synchronisation",
        Means.RUN,
        "the receiver's own check of bytes, hash and state at the end of every flow",
        RUN,
        _FSU,
    ),
    Claim(
        "flat-cost",
        "the cost of telemetry is nearly flat against volume",
        Means.LATER,
        "cost curve with its exponent; storage is linear, only index and samples can be flat",
    ),
    Claim(
        "storage-price",
        "0.023 $/GB object storage against 1.50 $/GB",
        Means.NOTHING,
        "prices are not measured; the units differ (GB-month stored, GB ingested)",
    ),
    Claim(
        "others-overhead",
        "Cilium < 1 ms, Falco < 0.5 ms, Pixie < 2 ms overhead",
        Means.NOTHING,
        "context from the source, unverified; those programs are not run here",
    ),
    Claim(
        "scales-planet",
        "it scales to the planet",
        Means.LATER,
        "simulation to 1e6 flows and the exponent of its cost; beyond that only on paper",
    ),
    Claim(
        "hardware-agnostic",
        "it works on any hardware",
        Means.NOTHING,
        "a universal claim cannot be shown on one host; results record kernel, wires and XDP mode"
        " of the hosts on which it ran",
    ),
    Claim(
        "resonance",
        "the kernel conducts data as the Earth conducts waves (7.83 Hz)",
        Means.NOTHING,
        "an analogy without a prediction of its own",
    ),
    Claim(
        "no-prior-art",
        "no prior art combines these elements",
        Means.NOTHING,
        "not for a measuring tool; related work: RFC 3135, BPv7 custody, conntrackd, RFC 9959,"
        " AIOpsShield",
    ),
)

BY_ID = {claim.id: claim for claim in CLAIMS}
"""The claims by their id."""

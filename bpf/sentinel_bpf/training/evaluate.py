"""python -m sentinel_bpf.training.evaluate [CAPTURE ...]: how well every expert predicts.

For each generated kind (flows the network never saw) and each capture, the mean absolute error of
the next interval's bytes over that of last value (MASE; Hyndman and Koehler 2006): below 1 is
better than last value. Every flow direction counts that closed at least 30 intervals, 10 of them
not empty. A capture's figure is that of all its flows together, the sum of their errors over the
sum of last value's; a generated kind's is the mean over its flows, which differ in rate by a
factor of thousands. Flows that last value predicts exactly have no MASE: for them the bank's
absolute error stands beside their mean interval.

The code that predicts is that of the kernel program, compiled for user space.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sentinel_bpf import predict_abi as abi
from sentinel_bpf.errors import BpfError
from sentinel_bpf.predict_abi import Expert
from sentinel_bpf.training import weights
from sentinel_bpf.training.capture import read_flows
from sentinel_bpf.training.kinds import KINDS, generate
from sentinel_bpf.training.library import run_intervals
from sentinel_bpf.training.series import Intervals, intervals
from sentinel_bpf.training.traffic import Packets

INTERVALS_MIN = 30
NOT_EMPTY_MIN = 10
SINGLES = (Expert.FAST, Expert.SLOW, Expert.HOLT, Expert.LMS)
"""Fixed single experts besides last value, whose MASE is 1, and the network."""
COLUMNS = ("fast", "slow", "holt", "lms", "network", "bank_without_network", "bank")
SHARE_BELOW_ONE = 0.8
WORST = 1.05
NETWORK_GAIN = 0.05

Errors = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """One trace, or one generated kind."""

    name: str
    flows: int
    intervals: int
    mase: dict[str, float]
    """By column; empty if last value was exact on every flow."""
    worst_flow: float
    """The bank's largest MASE on one flow; 0 without any."""
    exact_flows: int
    """Flows that last value predicted exactly."""
    exact_error_share: float
    """There: the bank's mean absolute error over the mean interval."""


def flow_errors(series: Intervals, model: abi.Model) -> Errors:
    """Sums of absolute errors: last value, then COLUMNS."""
    truth = series[1:].astype(np.int64)[:, None]
    with_network = np.abs(run_intervals(series, model).predicted[:-1] - truth).sum(axis=0)
    without = np.abs(run_intervals(series, None).predicted[:-1] - truth).sum(axis=0)
    singles = with_network[: len(Expert)]
    return np.array([*singles, without[-1], with_network[-1]], np.float64)


def long_enough(series: Intervals) -> bool:
    """Whether a flow counts."""
    return len(series) >= INTERVALS_MIN and int(np.count_nonzero(series)) >= NOT_EMPTY_MIN


def figures(name: str, flows: Iterable[Packets], model: abi.Model, *, pooled: bool) -> Figures:
    """Errors of all flows that count. `pooled`: sum errors; else average the flows' MASE."""
    rows, exact_error, exact_bytes, exact, total = [], 0.0, 0.0, 0, 0
    for packets in flows:
        series = intervals(packets, int(model.interval_shift))
        if not long_enough(series):
            continue
        errors = flow_errors(series, model)
        total += len(series)
        if errors[0]:
            rows.append(errors)
        else:
            exact += 1
            exact_error += float(errors[-1])
            exact_bytes += float(series[1:].sum())
    share = exact_error / exact_bytes if exact else 0.0
    if not rows:
        return Figures(name, exact, total, {}, 0.0, exact, share)
    table = np.array(rows)
    ratios = table / table[:, :1]
    mase = table.sum(axis=0) / table[:, 0].sum() if pooled else ratios.mean(axis=0)
    by_column = dict(zip(COLUMNS, (float(value) for value in mase[1:]), strict=True))
    return Figures(
        name, len(rows) + exact, total, by_column, float(ratios[:, -1].max()), exact, share
    )


@dataclass(frozen=True)
class Summary:
    """The targets, over all traces and kinds that have a MASE."""

    traces: int
    below_one: float
    worst: float
    means: dict[str, float]
    best_single: str
    network_gain: float
    """1 - (bank with network) / (best fixed single expert), of the means."""

    @property
    def met(self) -> bool:
        """Whether all three targets are reached."""
        return (
            self.below_one >= SHARE_BELOW_ONE
            and self.worst <= WORST
            and self.network_gain >= NETWORK_GAIN
        )


def summarise(found: Sequence[Figures]) -> Summary:
    """Raises BpfError if no trace has a MASE."""
    rows = [trace.mase for trace in found if trace.mase]
    if not rows:
        raise BpfError("no flow is long enough to judge a prediction by")
    means = {column: float(np.mean([row[column] for row in rows])) for column in COLUMNS}
    singles = {"last": 1.0} | {e.name.lower(): means[e.name.lower()] for e in SINGLES}
    best = min(singles, key=lambda name: singles[name])
    banks = [row["bank"] for row in rows]
    return Summary(
        traces=len(rows),
        below_one=sum(bank < 1 for bank in banks) / len(banks),
        worst=max(banks),
        means=means,
        best_single=best,
        network_gain=1 - means["bank"] / singles[best],
    )


def generated(model: abi.Model, *, seed: int, flows: int) -> list[Figures]:
    """Every generated kind, on flows of the part "test"."""
    return [
        figures(kind, (generate(kind, seed, "test", i) for i in range(flows)), model, pooled=False)
        for kind in KINDS
    ]


def _row(name: str, flows: int, mase: dict[str, float], worst: float) -> str:
    cells = "".join(f"{mase[column]:9.3f}" for column in COLUMNS)
    return f"{name:22}{flows:6}    1.000{cells}{worst:9.3f}"


def table(found: Sequence[Figures]) -> str:
    """The report as text."""
    heads = [c.replace("bank_without_network", "no net") for c in COLUMNS]
    lines = [
        f"{'trace':22}{'flows':>6}{'last':>9}" + "".join(f"{h:>9}" for h in heads) + f"{'worst':>9}"
    ]
    for trace in found:
        if trace.mase:
            lines.append(_row(trace.name, trace.flows, trace.mase, trace.worst_flow))
        if trace.exact_flows:
            lines.append(
                f"{trace.name:22}{trace.exact_flows:6}    last value exact; bank's absolute error "
                f"{trace.exact_error_share:.2%} of the mean interval"
            )
        if not trace.flows:
            lines.append(f"{trace.name:22}{0:6}    no flow is long enough")
    return "\n".join(lines)


def verdict(name: str, summary: Summary) -> str:
    """The targets and what was reached, as text."""
    singles = ", ".join(f"{column} {summary.means[column]:.3f}" for column in COLUMNS)
    return (
        f"{name}, {summary.traces} traces: bank below 1 on {summary.below_one:.0%} (target "
        f"{SHARE_BELOW_ONE:.0%}), worst {summary.worst:.3f} (target {WORST}); bank with network "
        f"{summary.network_gain:.1%} better than the best fixed single expert, "
        f"{summary.best_single} (target {NETWORK_GAIN:.0%})\n  means: {singles}"
    )


@dataclass(frozen=True)
class Report:
    """Everything the command prints."""

    interval_shift: int
    model_version: int
    traces: list[Figures]
    summary: dict[str, Summary]
    """By group: generated, captures, all."""

    def text(self) -> str:
        """For people; `--json` has the same."""
        head = f"interval 2^{self.interval_shift} ns, model version {self.model_version}"
        verdicts = [verdict(name, summary) for name, summary in self.summary.items()]
        return "\n".join([head, table(self.traces), "", *verdicts])


def evaluate(options: argparse.Namespace) -> Report:
    """Do what the command line asks for. Raises BpfError."""
    trained = weights.load(options.weights)
    shift = options.interval_shift or trained.network.interval_shift
    model = weights.to_model(replace(trained.network, interval_shift=shift), trained.version)
    groups = {}
    if options.flows:
        groups["generated"] = generated(model, seed=options.seed, flows=options.flows)
    if options.captures:
        groups["captures"] = [
            figures(path.stem, read_flows(path), model, pooled=True) for path in options.captures
        ]
    everything = [trace for group in groups.values() for trace in group]
    judged = groups | {"all": everything} if len(groups) != 1 else groups
    return Report(
        interval_shift=shift,
        model_version=trained.version,
        traces=everything,
        summary={name: summarise(group) for name, group in judged.items()},
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sentinel_bpf.training.evaluate")
    parser.add_argument("captures", nargs="*", type=Path, help="pcap or pcapng files")
    parser.add_argument("--weights", type=Path, default=weights.SHIPPED)
    parser.add_argument("--seed", type=int, default=1, help="of the generated flows")
    parser.add_argument("--flows", type=int, default=40, help="generated, of each kind; 0: none")
    parser.add_argument("--interval-shift", type=int, help="instead of the weights' own")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--require", action="store_true", help="exit 5 if a target is missed")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns 0, 1 on an error, 5 if --require and a target is missed."""
    options = _parser().parse_args(arguments)
    try:
        report = evaluate(options)
    except BpfError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(asdict(report), indent=1) if options.json else report.text())
    sys.stdout.write("\n")
    missed = not all(summary.met for summary in report.summary.values())
    return 5 if options.require and missed else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Error against control bytes/s by distance, and the table of benchmarks/control_cost.py, as files.

    python -m benchmarks.control_curves --out FOLDER [--traces FOLDER] [--only NAME] [--figures]

For every capture and generated kind writes `NAME.json` (the rows of the table, at all bounds, and
the points of the curves), then `table.md` and, with `--figures`, `NAME.svg` of all that the folder
holds: a run that is cut short, or made in parts by `--only`, loses nothing.

A curve is made by bounds from 5 to 500 ms of the flow's mean rate. Its error is that of a replica
at a one-way delay (0.5 to 100 ms: 100 to 20,000 km at 5 us per km), on the grid: the largest, and
the 95th percentile, in bytes over the flow's mean rate, so in seconds of flow. *hold*, *linear*
and *bank* are sent when the bound is left and arrive after the delay. *periodic* is a total every
T, held. *oracle* knows the future: it sends as few straight lines from true totals as hold the
bound, early enough to arrive in time; so it is the same at every distance, and below its bytes no
scheme can get whose replicas believe a line that begins at a true total. Figures are means over
the capture's (at most) eight flows with the most bytes; bytes are those of all of these together.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.control_cost import (
    BOUNDS_MS,
    INTERVAL_NS,
    NS_PER_S,
    SLOPES,
    TARGET,
    Packets,
    Totals,
    evaluate,
    message_bytes,
    oracle_messages,
    send_on_delta,
    sources,
    totals_of,
)

CURVE_BOUNDS_MS = (5, 10, 20, 50, 100, 200, 500)
DELAYS_MS = (0.5, 5.0, 25.0, 50.0, 100.0)
CURVE_FLOWS = 8
CAUSAL = ("hold", "linear", "bank")
KM_PER_MS = 200


def lag_errors(totals: Totals, times_ns: Any, values: Any, rates: Any, delay_ns: int) -> Any:  # noqa: ANN401  arrays
    """|truth - belief| on the grid, in bytes; before the first message 0 is believed."""
    grid = np.arange(1, len(totals) + 1) * INTERVAL_NS
    index = np.searchsorted(times_ns + delay_ns, grid, side="right") - 1
    known = np.maximum(index, 0)
    belief = values[known] + rates[known] * (grid - times_ns[known]) / NS_PER_S
    return np.abs(totals - np.where(index >= 0, belief, 0.0))


def of_delta(totals: Totals, bound: int, method: str) -> tuple[Any, Any, Any]:
    """Times, totals and rates of what send on delta sends; the announcement is the first."""
    sent = send_on_delta(totals, bound, SLOPES[method](bound))
    return (
        np.array([state.at_ns for state in sent]),
        np.array([state.total_bytes for state in sent], np.float64),
        np.array([state.rate_Bps for state in sent], np.float64),
    )


def of_period(totals: Totals, bound: int) -> tuple[Any, Any, Any]:
    """A total every T, held; T brings the bound on average."""
    mean_per_interval = totals[-1] / len(totals)
    period = max(1, int(bound / mean_per_interval))
    at = np.arange(0, len(totals) + 1, period)
    padded = np.concatenate([[0], totals])
    return at * INTERVAL_NS, padded[at].astype(np.float64), np.zeros(len(at))


Maker = Callable[[Totals, int], tuple[Any, Any, Any]]


def makers() -> dict[str, Maker]:
    """Every causal method of the curves."""
    made: dict[str, Maker] = {"periodic": of_period}
    for name in CAUSAL:
        made[name] = lambda totals, bound, name=name: of_delta(totals, bound, name)
    return made


def curve(flows: Sequence[Totals], bound_ms: int, size: int) -> list[dict[str, Any]]:
    """One point of every method at every delay."""
    seconds = max(len(totals) for totals in flows) * INTERVAL_NS / NS_PER_S
    rates = [totals[-1] / (len(totals) * INTERVAL_NS / NS_PER_S) for totals in flows]
    bounds = [max(1, int(rate * bound_ms / 1000)) for rate in rates]
    points = []
    for method, make in makers().items():
        sent = [make(totals, bound) for totals, bound in zip(flows, bounds, strict=True)]
        count = sum(len(times) for times, _, _ in sent)
        for delay_ms in DELAYS_MS:
            errors = [
                lag_errors(totals, *one, int(delay_ms * 1e6)) / rate
                for totals, one, rate in zip(flows, sent, rates, strict=True)
            ]
            points.append(
                {
                    "method": method,
                    "bound_ms": bound_ms,
                    "delay_ms": delay_ms,
                    "bytes_per_s": count * size / seconds,
                    "max_error_s": float(np.mean([e.max() for e in errors])),
                    "p95_error_s": float(np.mean([np.quantile(e, 0.95) for e in errors])),
                }
            )
    least = sum(1 + oracle_messages(t, b) for t, b in zip(flows, bounds, strict=True))
    points.append(
        {
            "method": "oracle",
            "bound_ms": bound_ms,
            "delay_ms": None,
            "bytes_per_s": least * size / seconds,
            "max_error_s": bound_ms / 1000,
            "p95_error_s": None,
        }
    )
    return points


def rows_of(name: str, flows: list[Packets]) -> list[dict[str, Any]]:
    """The table's rows: messages by method at each bound, all flows."""
    rows = []
    for bound_ms in BOUNDS_MS:
        row = evaluate(name, flows, bound_ms, [])
        rows.append(
            {
                "bound_ms": bound_ms,
                "flows": row.flows,
                "seconds": row.seconds,
                "messages": row.messages,
            }
        )
    return rows


def verdict(messages: Mapping[str, int]) -> str:
    """Against the target, or the bound that forbids it."""
    if messages["oracle"] > TARGET * messages["periodic"]:
        return "forbidden by the oracle's bound"
    return "holds" if messages["bank"] <= TARGET * messages["periodic"] else "fails"


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: one line per source and bound."""
    columns = ("periodic+rate", *SLOPES, "oracle")
    lines = [
        "% of the bytes of periodic sync at equal maximum error (bound: ms of the mean rate)",
        "",
        f"| source | flows | bound, ms | periodic, messages | {' | '.join(columns)} | <= 25 % |",
        "|" + "---|" * (len(columns) + 5),
    ]
    for name, one in found.items():
        for row in one["rows"]:
            messages = row["messages"]
            shares = " | ".join(f"{100 * messages[c] / messages['periodic']:.1f}" for c in columns)
            lines.append(
                f"| {name} | {row['flows']} | {row['bound_ms']} | {messages['periodic']} "
                f"| {shares} | {verdict(messages)} |"
            )
    return "\n".join(lines) + "\n"


def draw(path: Path, name: str, points: Sequence[Mapping[str, Any]]) -> None:
    """One panel for each delay: largest error against bytes per second."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(DELAYS_MS), 3.6), layout="constrained")
    axes = figure.subplots(1, len(DELAYS_MS), sharex=True, sharey=True)
    styles = dict(
        zip(("periodic", *CAUSAL, "oracle"), ("x:", "s--", "v-.", "o-", "k*-"), strict=True)
    )
    for axis, delay_ms in zip(axes, DELAYS_MS, strict=True):
        for method, style in styles.items():
            mine = [
                p for p in points if p["method"] == method and p["delay_ms"] in (delay_ms, None)
            ]
            mine.sort(key=lambda p: p["bytes_per_s"])
            axis.loglog(
                [p["bytes_per_s"] for p in mine],
                [1000 * p["max_error_s"] for p in mine],
                style,
                label=method,
                markersize=4,
            )
        axis.set_title(f"{delay_ms:g} ms one way ({delay_ms * KM_PER_MS:,.0f} km)", fontsize=9)
        axis.set_xlabel("control bytes per second")
        axis.grid(visible=True, which="both", alpha=0.3)
    axes[0].set_ylabel("largest error of the replica, ms of flow")
    axes[0].legend(fontsize=8)
    figure.suptitle(name)
    figure.savefig(path)


def main(argv: list[str]) -> int:
    """Evaluate what is asked for; then the table and figures of all that the folder holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--traces", type=Path, default=None, help="folder with *.pcap")
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("--figures", action="store_true", help="draw NAME.svg too")
    options = parser.parse_args(argv)
    if options.traces is not None and not options.traces.is_dir():
        parser.error(f"--traces {options.traces}: no such folder")
    options.out.mkdir(parents=True, exist_ok=True)
    size = message_bytes()
    for name, flows in sources(options.traces, options.only):
        largest = sorted(flows, key=lambda flow: -int(flow.sizes.sum()))[:CURVE_FLOWS]
        totals = [totals_of(flow) for flow in largest]
        points = [p for bound in CURVE_BOUNDS_MS for p in curve(totals, bound, size)]
        result = {"message_bytes": size, "rows": rows_of(name, flows), "points": points}
        (options.out / f"{name}.json").write_text(json.dumps(result))
        sys.stderr.write(f"{name}: {len(flows)} flows\n")
    found = {p.stem: json.loads(p.read_text()) for p in sorted(options.out.glob("*.json"))}
    text = table(found)
    (options.out / "table.md").write_text(text)
    sys.stdout.write(text)
    if options.figures:
        for name, one in found.items():
            draw(options.out / f"{name}.svg", name, one["points"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

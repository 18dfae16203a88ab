"""Burstiness by hop, and how much a chain of intermediates smooths (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel_sim.evidence.smoothing import (
    LAWS,
    SCALES_S,
    Factors,
    Stage,
    factors_of,
    laws_of,
    scale_of,
    stages_of,
)
from sentinel_sim.evidence.view import Group, View
from sentinel_sim.plan.stats import mean
from sentinel_sim.report.html.figure import (
    DASHES,
    SYMBOLS,
    DataTable,
    Figure,
    Trace,
    axis,
    colour_of,
    layout,
)

Result = Mapping[str, Any]
Point = Mapping[str, Any]
DRAWN_S = 0.01
"""Length of the blocks in the figure of factors; the other lengths are in the table."""
HOP_DASHES = ("dot", "dash", "solid")
"""Of what the sender offers, behind its own link, and what the receiver gets."""


@dataclass(frozen=True, slots=True)
class _Series:
    """One arm under one condition: its valid runs with burstiness."""

    name: str
    arm: str
    runs: tuple[Mapping[str, Any], ...]

    def factors(self, scale_s: float) -> list[Factors]:
        """Of each run that has them."""
        return [one for run in self.runs if (one := factors_of(run, scale_s))]

    def points(self) -> list[tuple[Point, ...]]:
        """The points of one place each, over the runs, sender to receiver."""
        return list(zip(*(run["burstiness"]["points"] for run in self.runs), strict=False))


def _series(result: Result) -> list[_Series]:
    groups: list[Group] = View(result).groups
    found = []
    for group in groups:
        runs = tuple(run for run in group.valid if run.get("burstiness"))
        if runs:
            name = f"{group.arm} ({group.condition})" if group.condition else group.arm
            found.append(_Series(name, group.arm, runs))
    return found


def smoothing_figure(result: Result) -> Figure | None:
    """Smoothing factor against the number of intermediates, beside the laws; None if unknown."""
    measured = [(one, stages_of(f)) for one in _series(result) if (f := one.factors(DRAWN_S))]
    if not measured:
        return None
    most = max(stages[-1].stages for _, stages in measured)
    ends = [f"{one.name}: {_ratio(s[-1])} behind {s[-1].stages} stages" for one, s in measured]
    claimed, averaging = LAWS["1.5^N"](most), LAWS["N^(1/4)"](most)
    return Figure(
        "smoothing",
        "Smoothing factor by number of intermediates",
        f"Smoothing factor at {DRAWN_S * 1e3:g} ms against the number of intermediates. "
        + "; ".join(ends)
        + f". Claimed: {claimed:.3g}; averaging stages: {averaging:.3g}; min-plus theory: 1.",
        "Coefficient of variation of the bytes in blocks of 10 ms behind the sender's own link,"
        " over that behind the n-th intermediate: mean over the runs, 95 % interval. Grey: the"
        " claimed 1.5^N; N^(1/4), what stages reach that average equal windows; 1, what min-plus"
        " theory says of equal rates in series (Le Boudec and Thiran 2001). Comparison, no fit.",
        (*(_measured(one, stages) for one, stages in measured), *_law_lines(most)),
        layout(
            axis("intermediates passed, N", dtick=1, range=[0.6, most + 0.4]),
            axis("variation before / behind", log=True, tickformat=",.3~g", dtick="D2"),
        ),
        _stage_table(measured),
    )


def _measured(one: _Series, stages: Sequence[Stage]) -> Trace:
    ends = [stage.factor_ci or (stage.factor, stage.factor) for stage in stages]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [stage.stages for stage in stages],
        "y": [float(f"{stage.factor:.5g}") for stage in stages],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [high - s.factor for s, (_, high) in zip(stages, ends, strict=True)],
            "arrayminus": [s.factor - low for s, (low, _) in zip(stages, ends, strict=True)],
            "color": colour_of(one.arm),
        },
        "name": one.name,
        "line": {"color": colour_of(one.arm), "dash": DASHES.get(one.arm), "width": 2},
        "marker": {"color": colour_of(one.arm), "size": 8, "symbol": SYMBOLS.get(one.arm, "x")},
        "hovertemplate": f"<b>{one.name}</b><br>N = %{{x}}: %{{y:.4~g}} times<extra></extra>",
    }


def _law_lines(most: int) -> list[Trace]:
    laws = (
        ("claimed 1.5^N", "6px,3px", LAWS["1.5^N"]),
        ("averaging N^(1/4)", "2px,2px", LAWS["N^(1/4)"]),
        ("min-plus 1", "1px,4px", LAWS["1"]),
    )
    ns = list(range(1, most + 1))
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": ns,
            "y": [float(f"{law(n):.5g}") for n in ns],
            "name": name,
            "line": {"color": "@muted", "width": 1.4, "dash": dash},
            "hovertemplate": f"{name}: %{{y:.4~g}}<extra></extra>",
        }
        for name, dash, law in laws
    ]


def _stage_table(measured: Sequence[tuple[_Series, Sequence[Stage]]]) -> DataTable:
    rows = [
        (
            one.name,
            str(stage.stages),
            _with_interval(stage.step, stage.step_ci),
            _with_interval(stage.factor, stage.factor_ci),
            *(f"{LAWS[law](stage.stages):.3g}" for law in ("1.5^N", "N^(1/4)", "1")),
        )
        for one, stages in measured
        for stage in stages
    ]
    return DataTable(
        f"Step ratios and factors at {DRAWN_S * 1e3:g} ms, 95 % intervals over runs",
        ("arm", "N", "step ratio", "factor of N stages", "1.5^N", "N^(1/4)", "min-plus"),
        tuple(rows),
    )


def dispersion_figure(result: Result) -> Figure | None:
    """Index of dispersion against length of blocks, at three places; None if unknown."""
    known = _series(result)
    if not known:
        return None
    traces = [trace for one in known for trace in _dispersions(one)]
    rows = [
        (trace["name"], f"{x:g}", f"{y:.4g}")
        for trace in traces
        for x, y in zip(trace["x"], trace["y"], strict=True)
    ]
    return Figure(
        "dispersion",
        "Index of dispersion for counts, by length of block",
        "Index of dispersion against block length in milliseconds, at the sender, behind its own"
        " link and at the receiver. "
        + "; ".join(f"{t['name']}: {t['y'][0]:.3g} to {t['y'][-1]:.3g}" for t in traces if t["y"])
        + ". A Poisson process of packets has 1 at every length.",
        "Variance over mean of the bytes in blocks, in packets of the MTU; mean over the runs. A"
        " Poisson process of packets has 1 at every length, a constant rate 0 (Gusella 1991). Where"
        " the lines of two places meet, what lies between smooths nothing at that length.",
        tuple(traces),
        layout(
            axis("length of a block, ms", log=True, tickformat=",.6~g", dtick="D2"),
            axis("packets", log=True, tickformat=",.6~g", dtick="D2"),
        ),
        DataTable("The indices in the figure", ("arm, place", "block, ms", "packets"), tuple(rows)),
    )


def _dispersions(one: _Series) -> Iterator[Trace]:
    places = one.points()
    chosen = (places[0], places[1], places[-1])
    names = ("offered by the sender", "behind the sender's link", "at the receiver")
    for points, name, dash in zip(chosen, names, HOP_DASHES, strict=True):
        scales = list(zip(*(point["scales"] for point in points), strict=False))
        # On a logarithmic axis there is no place for a constant rate.
        shown = [
            (same[0]["time_s"] * 1e3, value)
            for same in scales
            if (value := mean([scale["dispersion_packets"] for scale in same])) > 0
        ]
        yield {
            "type": "scatter",
            "mode": "lines+markers",
            "x": [float(f"{x:.6g}") for x, _ in shown],
            "y": [float(f"{y:.5g}") for _, y in shown],
            "name": f"{one.name}, {name}",
            "line": {"color": colour_of(one.arm), "dash": dash, "width": 2},
            "marker": {"color": colour_of(one.arm), "size": 6},
            "hovertemplate": f"<b>{one.name}</b>, {name}<br>%{{x:g}} ms: %{{y:.4~g}} packets"
            "<extra></extra>",
        }


def law_table(result: Result) -> DataTable | None:
    """Which law fits, by arm and length of block; None if unknown."""
    rows = []
    for one in _series(result):
        for scale_s in SCALES_S:
            if not (factors := one.factors(scale_s)):
                continue
            laws = laws_of(factors)
            rows.append(
                (
                    one.name,
                    f"{scale_s * 1e3:g} ms",
                    _with_interval(laws.base, laws.base_ci),
                    f"{laws.power:.4f}",
                    *(f"{residual:.2g}" for residual in laws.residuals.values()),
                    str(len(factors)),
                )
            )
    if not rows:
        return None
    residuals = ("base^N", "N^power", *LAWS)
    return DataTable(
        "Measured laws: least squares on logarithms over all N, the base with its 95 % interval"
        " over runs; residuals of logarithms, 0.01 is about 1 %",
        (
            *("arm", "blocks of", "fitted base", "fitted power"),
            *(f"residual of {law}" for law in residuals),
            "runs",
        ),
        tuple(rows),
    )


def hop_table(result: Result) -> DataTable | None:
    """Every figure at every hop, beside delay and drops: means over the runs; None if unknown."""
    rows = [_hop_row(one, points) for one in _series(result) for points in one.points()]
    if not rows:
        return None
    headings = ["arm", "place", "Mbit/s"]
    for word in ("CoV", "IDC, packets", "peak/mean"):
        headings += [f"{word}, {scale_s * 1e3:g} ms" for scale_s in SCALES_S]
    headings += ["b*, kB", "queue delay, mean ms", "p99 ms", "queue drops", "planned losses"]
    return DataTable(
        "Burstiness at every hop, with what the queue just passed added and dropped"
        " (means over the runs; drops: all runs together)",
        tuple(headings),
        tuple(rows),
    )


def _hop_row(one: _Series, points: Sequence[Point]) -> tuple[str, ...]:
    cells = [one.name, points[0]["place"], f"{_mean(points, 'mean_bps') / 1e6:.4g}"]
    for key in ("variation", "dispersion_packets", "peak_to_mean"):
        for scale_s in SCALES_S:
            scales = (scale_of(point, scale_s) for point in points)
            values = [scale[key] for scale in scales if scale is not None]
            cells.append(f"{mean(values):.3g}" if values else "–")
    cells.append(f"{_mean(points, 'burst_bytes') / 1e3:,.4g}")
    delays = [point for point in points if point["queue_delay_s"]]
    if delays:
        p99 = mean([point["queue_delay_s"]["p99"] for point in delays])
        cells += [f"{_mean(delays, 'queue_delay_mean_s') * 1e3:.3g}", f"{p99 * 1e3:.3g}"]
    else:
        cells += ["–", "–"]
    cells += [f"{sum(p[key] for p in points):,}" for key in ("queue_dropped", "loss_dropped")]
    return tuple(cells)


def _mean(points: Sequence[Point], key: str) -> float:
    return mean([float(point[key]) for point in points])


def _ratio(stage: Stage) -> str:
    return _with_interval(stage.factor, stage.factor_ci)


def _with_interval(value: float, ends: tuple[float, float] | None) -> str:
    return f"{value:.4f}" if ends is None else f"{value:.4f} [{ends[0]:.4f}, {ends[1]:.4f}]"

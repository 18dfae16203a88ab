"""Both simulators' congestion windows over time, as a table and as a picture."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib as mpl
from cases import Case
from outcome import COLUMNS, CWND, DELIVERED, Series

mpl.use("Agg")

from matplotlib import pyplot as plt

STARTUPS_SHOWN = 3


def write_traces(folder: Path, case: Case, ours: Series, theirs: Series) -> None:
    """`CASE.csv` with a row for each tick and `CASE.svg`: the start-up, and the whole run."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{case.name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["time_s", *(f"ours_{name}" for name in COLUMNS), *(f"ns3_{name}" for name in COLUMNS)]
        )
        for tick, pair in enumerate(zip(ours.rows, theirs.rows, strict=True)):
            values = (int(value) for row in pair for value in row)
            writer.writerow([f"{(tick + 1) * case.tick_ns / 1e9:.6g}", *values])
    _draw(folder / f"{case.name}.svg", case, ours, theirs)


def _draw(path: Path, case: Case, ours: Series, theirs: Series) -> None:
    size = case.startup_bytes
    startup_s = STARTUPS_SHOWN * max(ours.time_to_s(size), theirs.time_to_s(size))
    figure, axes = plt.subplots(2, 2, figsize=(11, 6), layout="constrained")
    for column, until_s in enumerate((startup_s, case.duration_ns / 1e9)):
        for series, label in ((ours, "sentinel-sim"), (theirs, "ns-3")):
            times_s = [(tick + 1) * case.tick_ns / 1e9 for tick in range(len(series.rows))]
            axes[0, column].plot(times_s, series.rows[:, CWND], label=label, linewidth=1)
            megabytes = series.rows[:, DELIVERED] / 1e6
            axes[1, column].plot(times_s, megabytes, label=label, linewidth=1)
        axes[0, column].set(xlim=(0, until_s), ylabel="cwnd, segments")
        axes[1, column].set(xlim=(0, until_s), ylabel="delivered, MB", xlabel="s")
    axes[1, 0].set_ylim(0, 2 * size / 1e6)
    axes[0, 0].legend()
    figure.suptitle(case.name)
    figure.savefig(path)
    plt.close(figure)

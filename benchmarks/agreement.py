"""How far simulation and emulation agree, on settings that a laboratory machine can carry.

Each setting is one `sentinel-sim run --backend both` (root); the figures are those of `agreement`
in its result. The simulator knows nothing of this script, and nothing is tuned by what it finds.

    sudo .venv/bin/python benchmarks/agreement.py                 # about five minutes
    sudo .venv/bin/python benchmarks/agreement.py window-law      # one setting
    sudo .venv/bin/python benchmarks/agreement.py --json

Exit code 1 if a group disagrees or is undecided.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from sentinel_sim.report.agreement_table import agreement_table

TOPOLOGIES = Path(__file__).parents[1] / "topologies"
PROGRAM = "from sentinel_sim.cli.main import main; main()"
SETTINGS: dict[str, list[str]] = {
    "window-law": ["window-law.yaml", "--set", "duration=5 s", "--distances", "2000,8000"],
    "chain-5": ["chain-5.yaml", "--set", "rate=50 Mbit/s", "--set", "duration=6 s"],
    "lossy": [
        *("lossy.yaml", "--set", "rate=100 Mbit/s", "--set", "duration=8 s"),
        *("--set", "links.0.loss=0.1 %,1 %"),
    ],
}
"""At reduced rates and times: what two busy CPUs still carry within the limits of validity."""


def measure(words: list[str], repeats: int) -> dict[str, Any]:
    """The result of one setting, from the command line as a user has it."""
    file, *flags = words
    with tempfile.TemporaryDirectory() as out:
        command = [
            *(sys.executable, "-c", PROGRAM, "run", str(TOPOLOGIES / file), *flags),
            *("--backend", "both", "--arms", arms_of(file), "--repeat", str(repeats)),
            *("--out", out, "--json"),
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    document: dict[str, Any] = json.loads(done.stdout)
    if "result" not in document:
        raise SystemExit(f"{file}: {document['error']}")
    result: dict[str, Any] = document["result"]
    return result


def arms_of(file: str) -> str:
    """A window fixed on the sockets is the same experiment in each arm: one is enough."""
    return "tuned" if file == "window-law.yaml" else "tuned,split"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("settings", nargs="*", help=f"of: {', '.join(SETTINGS)}; default: all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    unknown = set(asked.settings) - SETTINGS.keys()
    if unknown:
        parser.error(f"no such setting: {', '.join(sorted(unknown))}; of: {', '.join(SETTINGS)}")
    found = {}
    for name in asked.settings or SETTINGS:
        result = measure(SETTINGS[name], asked.repeats)
        found[name] = result["agreement"]
        if not asked.json:
            console = Console(width=140, highlight=False)
            console.print(
                f"{name}: Linux {result['environment']['kernel']}, "
                f"{result['environment']['wire_backend']}",
                markup=False,
            )
            console.print(agreement_table(result["agreement"]))
    if asked.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0 if all(one["agrees"] for one in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

"""python -m sentinel_bpf.training.train: fit the network and write its weights (`make train`).

Trains on generated flows, chooses among random starts on others, and never sees a capture.
Takes about three minutes. `make train` gives BLAS one thread: the matrices are so narrow that more
only wait for each other. The same seed and code give the same weights on one
machine; between machines the last bits of floating point may differ, hence a weight by one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from sentinel_bpf import predict_abi as abi
from sentinel_bpf.errors import BpfError
from sentinel_bpf.predict_reference import Network
from sentinel_bpf.training import fit
from sentinel_bpf.training.kinds import KINDS
from sentinel_bpf.training.samples import collect
from sentinel_bpf.training.traffic import stream
from sentinel_bpf.training.weights import SHIPPED, TrainedModel, load

BPF_FOLDER = Path(__file__).resolve().parents[2]


def code_commit() -> str:
    """The last commit of bpf/, "-dirty" if files have changed since.

    Raises BpfError outside a checkout: weights say which code made them.
    """
    words = ["git", "-C", str(BPF_FOLDER)]
    try:
        log = subprocess.run(
            [*words, "log", "-1", "--format=%H", "--", ".", ":!sentinel_bpf/predict_weights.json"],
            capture_output=True,
            text=True,
            check=True,
        )
        status = subprocess.run(
            [*words, "status", "--porcelain", "--", ".", ":!sentinel_bpf/predict_weights.json"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise BpfError(
            f"{BPF_FOLDER}: not a git checkout; weights say which commit made "
            f"them: git clone the repository and run `make train` in it"
        ) from error
    return log.stdout.strip() + ("-dirty" if status.stdout.strip() else "")


def train(
    *, seed: int, flows: int, starts: int, iterations: int, shift: int = abi.SHIFT_DEFAULT
) -> tuple[Network, dict[str, Any]]:
    """The best network of several random starts, and how it was found."""
    samples = collect("train", seed=seed, flows=flows, shift=shift)
    validation = collect("validate", seed=seed, flows=max(1, flows // 2), shift=shift)
    found = []
    for start in range(starts):
        weights = fit.fit(samples, stream(seed, "start", start), iterations)
        network = fit.quantise(weights, samples, shift)
        found.append((fit.mean_mase(network, validation), start, network))
        sys.stderr.write(f"start {start}: MASE on validation flows {found[-1][0]:.4f}\n")
    error, start, network = min(found, key=lambda candidate: candidate[:2])
    return network, {
        "on": "generated flows (sentinel_bpf/training/kinds.py); no capture",
        "kinds": list(KINDS),
        "flows_per_kind": flows,
        "samples": len(samples.targets),
        "seed": seed,
        "starts": starts,
        "start_chosen": start,
        "iterations": iterations,
        "validation_mase": round(error, 4),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 0, or 1 when it could not be done."""
    parser = argparse.ArgumentParser(prog="python -m sentinel_bpf.training.train")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--flows", type=int, default=60, help="of each kind")
    parser.add_argument("--starts", type=int, default=3, help="random starting points")
    parser.add_argument("--iterations", type=int, default=1200, help="of L-BFGS for each start")
    parser.add_argument(
        "--interval-shift", type=int, default=abi.SHIFT_DEFAULT, help="an interval lasts 2^shift ns"
    )
    parser.add_argument("--version", type=int, help="default: that of the file before, plus one")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    options = parser.parse_args(arguments)
    try:
        commit = code_commit()
        version = options.version
        if version is None:
            version = load(options.out).version + 1 if options.out.exists() else 1
        network, provenance = train(
            seed=options.seed,
            flows=options.flows,
            starts=options.starts,
            iterations=options.iterations,
            shift=options.interval_shift,
        )
        model = TrainedModel(network, version, provenance | {"commit": commit})
        options.out.write_text(model.to_json() + "\n", encoding="utf-8")
    except BpfError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{options.out}: version {version}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

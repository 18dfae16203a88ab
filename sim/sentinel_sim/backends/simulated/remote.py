"""What a worker of a pool does: one run, from its specification to what is written down.

Raw log and record are made here rather than where they are collected: with many workers, the
arithmetic of one process would be the limit.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import platform
from pathlib import Path
from typing import Any

import numpy as np

import sentinel_sim
from sentinel_sim.backends.simulated import kernel
from sentinel_sim.backends.simulated.backend import SimulatedBackend
from sentinel_sim.errors import MissingCapabilityError
from sentinel_sim.experiment.pool import Finished
from sentinel_sim.experiment.rawlog import encoded, raw_run
from sentinel_sim.experiment.records import record_of
from sentinel_sim.plan.model import RunSpec

Identity = dict[str, Any]


@functools.cache
def _package_sha256() -> str:
    """Of all of our sources, by which the figures are made from what was simulated."""
    folder = Path(sentinel_sim.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[: kernel.FINGERPRINT_DIGITS]


def identity() -> Identity:
    """What must be equal in all workers, lest results depend on where a run was made."""
    return {
        "sentinel_sim": _package_sha256(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "numpy": np.__version__,
        **kernel.versions(),
    }


def simulate(spec: RunSpec, expected: Identity) -> Finished:
    """Make one run. Raises MissingCapabilityError in a worker that is unlike its client."""
    found = identity()
    if found != expected:
        unlike = [key for key in expected if found.get(key) != expected[key]]
        raise MissingCapabilityError(
            f"the worker on {platform.node()} is unlike this process in "
            + ", ".join(f"{key} ({found.get(key)}, not {expected[key]})" for key in unlike),
            cure="install the same version of sentinel-sim with requirements.txt on all workers",
        )
    kernel.ensure_compiled()
    measured = asyncio.run(SimulatedBackend().run(spec, lambda phase, seconds: None))
    raw = raw_run(spec, measured)
    return Finished(spec.key, encoded(raw), record_of(raw))

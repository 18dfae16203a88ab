"""One bench per wire backend for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.lab.wire.bench import IN_GUEST, Bench
from tests.lab.wire.plans import chain

NETEM = pytest.param("netem", marks=pytest.mark.lab(needs=("netem",)))
DELAYLINE = pytest.param("delayline", marks=pytest.mark.lab(needs=("NFQUEUE",)))
# The guest exists for netem; the delay line is tested where it is used.
WIRE_BACKENDS = [NETEM] if IN_GUEST else [DELAYLINE, NETEM]


@pytest.fixture(scope="session", params=WIRE_BACKENDS)
def wire_backend(request: pytest.FixtureRequest) -> str:
    """`delayline`, and `netem` where the kernel has it."""
    return str(request.param)


@pytest.fixture(scope="session")
def bench(wire_backend: str) -> Iterator[Bench]:
    """Two nodes and a wire; each test configures it anew."""
    bench = Bench(chain(), wire_backend)
    yield bench
    bench.close()

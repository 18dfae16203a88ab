"""A host that grants no user namespaces: said at once, with the cure, and nothing is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.emulated.specs import line

from sentinel_sim.backends.emulated.deployment import Deployment
from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.errors import MissingCapabilityError
from sentinel_sim.host import namespaces
from sentinel_sim.host.ownership import Ownership

pytestmark = pytest.mark.lab


def test_a_network_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mininet would wait for ever for the prompt of a shell that never started."""
    refusing = tmp_path / "unshare"
    refusing.write_text(
        "#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n"
    )
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with Ownership.create() as ownership:
        deployment = Deployment(Layout.of(ownership.run_id, line()), ownership, "netem")
        with pytest.raises(MissingCapabilityError) as caught:
            deployment.build()
        made = [
            n for n in namespaces.list_namespaces() if namespaces.run_id_of(n) == ownership.run_id
        ]
    assert "user namespaces missing: unshare: unshare failed" in str(caught.value)
    assert "privileged container" in caught.value.cure
    assert made == []

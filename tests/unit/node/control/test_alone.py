"""The control plane of a node by itself: what goes wrong in its thread is heard outside."""

from __future__ import annotations

import pytest

from sentinel_node.daemon.control.alone import ControlThread
from sentinel_node.daemon.control.holder import ControlHolder
from sentinel_node.daemon.control.settings import ControlSettings, Neighbour
from sentinel_node.errors import AddressError

SETTINGS = ControlSettings("a", b"s" * 32, (Neighbour("b", "127.0.0.1", 1),), flows_max=4)


@pytest.mark.parametrize("error", [AddressError("in use"), RuntimeError("a bug")])
def test_whatever_keeps_it_from_joining_is_raised_where_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(ControlHolder, "connect", fail)
    with (
        pytest.raises(type(error), match=str(error)),
        ControlThread(SETTINGS, "sender", lambda: None),
    ):
        pytest.fail("it joined")

"""Start windows on real routes, as `ip route` shows them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sentinel_bpf.netns import run_in_netns
from sentinel_node.daemon.control.routes import clear_start_window, set_start_window
from sentinel_node.errors import UnsupportedOptionError

pytestmark = pytest.mark.lab

NEAR, FAR, PLAIN = "10.78.1.1", "10.78.2.1", "10.78.2.2"
GATEWAY = "10.78.1.2"


def ip(name: str, *words: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        ("ip", "-j", "-n", name, *words), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found


@pytest.fixture
def namespace() -> Iterator[str]:
    """A namespace with a veth pair, two host routes and one network route."""
    name = f"sentinel-t{os.getpid()}-w"
    subprocess.run(("ip", "netns", "add", name), check=True)
    try:
        ip(name, "link", "add", "w0", "type", "veth", "peer", "name", "w1")
        for device in ("w0", "w1"):
            ip(name, "link", "set", device, "up")
        ip(name, "address", "add", f"{NEAR}/24", "dev", "w0")
        metrics = ("mtu", "1400", "congctl", "reno")
        ip(name, "route", "add", f"{FAR}/32", "via", GATEWAY, "metric", "5", *metrics)
        ip(name, "route", "add", f"{PLAIN}/32", "via", GATEWAY, "src", NEAR)
        ip(name, "route", "add", "10.78.3.0/24", "via", GATEWAY)
        yield name
    finally:
        subprocess.run(("ip", "netns", "delete", name), check=True)


def inside(name: str, call: Callable[[], None]) -> None:
    run_in_netns(Path("/run/netns") / name, call)


def route(name: str, address: str) -> dict[str, Any]:
    [found] = ip(name, "route", "show", f"{address}/32")
    return found


@pytest.mark.parametrize("address", [FAR, PLAIN])
def test_windows_come_and_go_and_nothing_else_changes(namespace: str, address: str) -> None:
    before = route(namespace, address)
    others = [one for one in ip(namespace, "route", "show") if one["dst"] != address]
    inside(namespace, lambda: set_start_window(address, cwnd_packets=100))
    inside(namespace, lambda: set_start_window(address, rwnd_packets=50))
    changed = route(namespace, address)
    windows = {"initcwnd": 100, "initrwnd": 50}
    [metrics] = changed.pop("metrics")
    [metrics_before] = before.get("metrics", [{}])
    assert metrics == {**metrics_before, **windows}
    assert changed == {key: value for key, value in before.items() if key != "metrics"}
    inside(namespace, lambda: clear_start_window(address))
    assert route(namespace, address) == before
    assert [one for one in ip(namespace, "route", "show") if one["dst"] != address] == others


@pytest.mark.parametrize("address", ["10.78.3.9", NEAR, "192.0.2.1"])
def test_without_a_route_of_its_own_it_is_refused(namespace: str, address: str) -> None:
    with pytest.raises(UnsupportedOptionError, match=f"ip route add {address}/32"):
        inside(namespace, lambda: set_start_window(address, cwnd_packets=100))

"""The commands that docs/fsu.md shows: clang, ip and bpftool alone, without our Python."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.bpf.test_attach import Chain, transfer

import sentinel_bpf
from sentinel_bpf import bpffs

pytestmark = pytest.mark.lab

SOURCE = Path(sentinel_bpf.__file__).parent.parent / "flow_math.c"


def output(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


@pytest.fixture
def attached(new_netns: Callable[[str], Path], tmp_path: Path) -> Iterator[Chain]:
    chain = Chain(new_netns)
    built = str(tmp_path / "flow_math.o")
    output("clang", "-O2", "-g", "-target", "bpf", "-c", str(SOURCE), "-o", built)
    words = ("ip", "-n", chain.receiver.name, "link", "set", "dev", "b0", "xdp")
    output(*words, "obj", built, "sec", "xdp")
    transfer(chain, 200_000)
    yield chain
    output(*words, "off")


def program_id(chain: Chain) -> int:
    words = ("ip", "-n", chain.receiver.name, "-j", "-d", "link", "show", "dev", "b0")
    return int(json.loads(output(*words))[0]["xdp"]["prog"]["id"])


def the_flow(dump: str) -> dict[str, Any]:
    entries = [entry["formatted"]["value"] for entry in json.loads(dump)]
    (flow,) = (value for value in entries if value["forward"]["bytes_total"] > 200_000)
    return dict(flow)


def test_the_program_is_listed_under_its_full_name_and_shown_by_its_id(attached: Chain) -> None:
    listed = {p["id"]: p for p in json.loads(output("bpftool", "-j", "prog", "show"))}
    program = listed[program_id(attached)]
    # bpftool finds the full name in the BTF; the kernel itself keeps 15 characters.
    assert program["name"].startswith("flow_stabilizat")
    shown = output("bpftool", "prog", "show", "id", str(program["id"]))
    assert "xdp" in shown
    assert "flow_stabilizat" in shown


def test_the_flows_are_dumped_by_short_name_and_by_pin(attached: Chain, tmp_path: Path) -> None:
    program = json.loads(output("bpftool", "-j", "prog", "show", "id", str(program_id(attached))))
    names = {}
    for number in program["map_ids"]:
        shown = json.loads(output("bpftool", "-j", "map", "show", "id", str(number)))
        names[shown["name"]] = number
    by_id = the_flow(output("bpftool", "-j", "map", "dump", "id", str(names["flow_metrics_ma"])))
    assert by_id["forward"]["packets_total"] >= 200_000 // 1448
    place = tmp_path / "bpf"
    bpffs.mount_bpffs(place)
    try:
        pin = str(place / "flow_metrics_map")
        output("bpftool", "map", "pin", "id", str(names["flow_metrics_ma"]), pin)
        by_pin = the_flow(output("bpftool", "-j", "map", "dump", "pinned", pin))
        assert by_pin["forward"] == by_id["forward"]
    finally:
        bpffs.unmount_bpffs(place)
    all_of_that_name = output("bpftool", "-j", "map", "dump", "name", "flow_metrics_ma")
    assert '"throughput_bps"' in all_of_that_name

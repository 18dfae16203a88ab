"""Fail open, flood guard, ageing: when the FSU keeps its hands off, and what is tidied up."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from sentinel_bpf import heartbeat, maps, settings, test_run
from sentinel_bpf.ageing import sweep_idle
from sentinel_bpf.errors import BpfError
from sentinel_bpf.flow_map import read_counters, read_flows
from sentinel_bpf.frames import ETH_IPV4, ethernet, ipv4, tcp
from sentinel_bpf.loader import ProgramSet

pytestmark = pytest.mark.lab

PROGRAM = "flow_stabilization_unit"
SECOND = 1_000_000_000
FRAME = ethernet(ipv4(tcp()), ETH_IPV4)


def at(programs: ProgramSet, now_ns: int, frame: bytes = FRAME) -> dict[str, int]:
    """Counters after one frame at `now_ns`."""
    maps.update(programs.map_fd("fsu_test_clock"), maps.index_key(0), now_ns.to_bytes(8, "little"))
    assert test_run.run(programs.prog_fd(PROGRAM), frame).verdict == test_run.XDP_PASS
    counters = read_counters(programs.map_fd("fsu_counters"))
    return {name: count for name, count in counters.items() if count}


def test_without_a_heartbeat_map_value_it_works(clocked_fsu: ProgramSet) -> None:
    assert at(clocked_fsu, 10**15) == {"passed": 1, "flow4": 1}


def test_a_stale_heartbeat_bypasses_and_a_new_one_ends_that(clocked_fsu: ProgramSet) -> None:
    fd = clocked_fsu.map_fd("fsu_heartbeat")
    heartbeat.beat(fd, now_ns=100 * SECOND, timeout_ns=SECOND)
    assert at(clocked_fsu, 101 * SECOND) == {"passed": 1, "flow4": 1}
    assert at(clocked_fsu, 101 * SECOND + 1) == {"passed": 2, "flow4": 1, "bypassed": 1}
    heartbeat.beat(fd, now_ns=102 * SECOND, timeout_ns=SECOND)
    assert at(clocked_fsu, 102 * SECOND) == {"passed": 3, "flow4": 2, "bypassed": 1}
    [record] = read_flows(clocked_fsu.map_fd("flow_metrics_map"))
    assert record.forward.packets_total == 2


def test_a_beat_from_the_future_is_fresh(clocked_fsu: ProgramSet) -> None:
    heartbeat.beat(clocked_fsu.map_fd("fsu_heartbeat"), now_ns=200 * SECOND, timeout_ns=SECOND)
    assert at(clocked_fsu, 100 * SECOND) == {"passed": 1, "flow4": 1}


def test_released_it_works_for_ever(clocked_fsu: ProgramSet) -> None:
    fd = clocked_fsu.map_fd("fsu_heartbeat")
    heartbeat.beat(fd, now_ns=SECOND)
    heartbeat.release(fd)
    assert at(clocked_fsu, 10**15) == {"passed": 1, "flow4": 1}


def test_a_heartbeat_without_timeout_is_refused(clocked_fsu: ProgramSet) -> None:
    with pytest.raises(BpfError, match="timeout above 0"):
        heartbeat.beat(clocked_fsu.map_fd("fsu_heartbeat"), timeout_ns=0)


BEATER = """
import sys, threading
from sentinel_bpf import heartbeat
fd = int(sys.argv[1])
heartbeat.beat(fd)
print("beating", flush=True)
heartbeat.keep_beating([fd], threading.Event())
"""


def test_a_killed_daemon_is_noticed_within_two_seconds(fsu: ProgramSet) -> None:
    fd = fsu.map_fd("fsu_heartbeat")
    words = [sys.executable, "-c", BEATER, str(fd)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, pass_fds=(fd,)) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == "beating\n"
        test_run.run(fsu.prog_fd(PROGRAM), FRAME)
        assert read_counters(fsu.map_fd("fsu_counters"))["flow4"] == 1
        daemon.kill()
        daemon.wait()
    died = time.monotonic()
    while not read_counters(fsu.map_fd("fsu_counters"))["bypassed"]:
        assert time.monotonic() - died < 2, "still not bypassed"
        test_run.run(fsu.prog_fd(PROGRAM), FRAME)


def test_the_flood_guard_refuses_and_counts(clocked_fsu: ProgramSet) -> None:
    settings.configure(clocked_fsu.map_fd("fsu_config"), new_flows_per_s=3)
    for port in range(10):
        at(clocked_fsu, 5 * SECOND, ethernet(ipv4(tcp(1000 + port)), ETH_IPV4))
    assert at(clocked_fsu, 5 * SECOND, FRAME) == {"passed": 11, "flow4": 3, "flood_refused": 8}
    known = ethernet(ipv4(tcp(1000)), ETH_IPV4)
    assert at(clocked_fsu, 5 * SECOND, known)["flow4"] == 4  # known flows go on
    assert at(clocked_fsu, 6 * SECOND, FRAME)["flow4"] == 5  # a new second, a new allowance


def test_settings_out_of_range_are_refused(clocked_fsu: ProgramSet) -> None:
    fd = clocked_fsu.map_fd("fsu_config")
    with pytest.raises(BpfError, match="at least 1 new flow"):
        settings.configure(fd, new_flows_per_s=0)
    with pytest.raises(BpfError, match="idle time"):
        settings.configure(fd, flow_idle_ns=5)


def test_the_sweep_removes_silent_flows_only(clocked_fsu: ProgramSet) -> None:
    for port in range(20):
        at(clocked_fsu, (10 + port) * SECOND, ethernet(ipv4(tcp(1000 + port)), ETH_IPV4))
    fd = clocked_fsu.map_fd("flow_metrics_map")
    swept = sweep_idle(fd, now_ns=40 * SECOND, idle_ns=15 * SECOND)
    assert (swept.seen, swept.removed) == (20, 15)
    assert [record.source_port for record in read_flows(fd)] == list(range(1015, 1020))
    assert sweep_idle(fd, now_ns=40 * SECOND, idle_ns=15 * SECOND).removed == 0

"""A signal reaches the process that was meant, or nobody."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_sim.host import processes
from sentinel_sim.host.processes import ProcessIdentity, identify, is_stopped, parse_stat, terminate

from .conftest import IGNORE_SIGTERM, StartProcess


@given(st.text(min_size=1).filter(lambda name: "\n" not in name), st.integers(0, 2**63))
def test_start_time_is_found_whatever_the_command_is_called(name: str, start: int) -> None:
    numbers = " ".join(["0"] * 18)
    assert parse_stat(f"42 ({name}) S {numbers} {start} 0 0") == ("S", start)


def test_identity_is_stable_and_ends_with_the_process(start: StartProcess) -> None:
    child = start()
    identity = identify(child.pid)
    assert identity is not None
    assert identify(child.pid) == identity
    child.kill()
    child.wait()
    assert identify(child.pid) is None


def test_a_zombie_is_nobody(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text("7 (dead) Z " + " ".join(["0"] * 18) + " 99 0")
    assert identify(7, tmp_path) is None


def test_terminate_asks_first(start: StartProcess) -> None:
    child = start()
    identity = identify(child.pid)
    assert identity is not None
    assert terminate([identity], grace_s=5.0) == []
    assert child.wait() == -signal.SIGTERM


def test_terminate_kills_who_does_not_listen(start: StartProcess) -> None:
    child = start(code=IGNORE_SIGTERM)
    identity = identify(child.pid)
    assert identity is not None
    assert terminate([identity], grace_s=0.2) == []
    assert child.wait() == -signal.SIGKILL


def test_a_reused_process_id_is_never_hit(start: StartProcess) -> None:
    child = start()
    identity = identify(child.pid)
    assert identity is not None
    former = ProcessIdentity(child.pid, identity.start_time_ticks - 1)
    assert terminate([former], grace_s=0.0) == []
    assert identify(child.pid) == identity


def test_a_process_that_is_gone_is_no_survivor(start: StartProcess) -> None:
    child = start()
    identity = identify(child.pid)
    assert identity is not None
    child.kill()
    child.wait()
    assert terminate([identity], grace_s=0.0) == []


def test_living_processes_show_run_id_and_command(start: StartProcess) -> None:
    child = start("sentinel-ab12-node", env={"SENTINEL_RUN_ID": "ab12"})
    [view] = [v for v in processes.living_processes() if v.identity.pid == child.pid]
    assert view.run_id == "ab12"
    assert view.command[-1] == "sentinel-ab12-node"
    status = Path("/proc/self/ns/net").stat()
    assert view.netns == (status.st_dev, status.st_ino)


def test_own_lineage_holds_us_and_our_ancestors() -> None:
    lineage = processes.own_lineage()
    assert {os.getpid(), os.getppid()} <= lineage


@pytest.mark.parametrize("text", ["", "12 no bracket S 1"])
def test_a_stat_line_without_a_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="substring not found"):
        parse_stat(text)


def test_a_stopped_process_is_told_from_a_busy_one(start: StartProcess) -> None:
    child = start()
    assert not is_stopped(child.pid)
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert is_stopped(child.pid)
    child.send_signal(signal.SIGCONT)
    os.waitid(os.P_PID, child.pid, os.WCONTINUED | os.WNOWAIT)
    assert not is_stopped(child.pid)
    assert not is_stopped(2**22 + 1), "no such process"

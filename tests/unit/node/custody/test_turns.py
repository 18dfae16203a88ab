"""A thousand flows' threads: who may ask for the interpreter's lock, and who is woken."""

from __future__ import annotations

import select
import sys
import threading
from contextlib import closing

import pytest

from sentinel_node.daemon import switching
from sentinel_node.daemon.control.interface import PeerChange
from sentinel_node.daemon.custody.wake import FlowPoller, Wake
from sentinel_node.daemon.stop import StopSignal
from sentinel_node.daemon.switching import FEW_S, Turn, adapt_switching, interval_s


def test_a_handful_of_threads_switch_soon_and_a_thousand_look_fifty_thousand_times() -> None:
    assert interval_s(1) == interval_s(25) == FEW_S
    assert 1000 / interval_s(1000) == pytest.approx(50_000)
    before = sys.getswitchinterval()
    try:
        adapt_switching()
        assert sys.getswitchinterval() == pytest.approx(interval_s(threading.active_count()))
    finally:
        sys.setswitchinterval(before)


THREADS = 12


@pytest.mark.parametrize(
    ("many", "expected"), [(1000, THREADS), (0, len(switching._TURNS))], ids=["few", "many"]
)
def test_few_threads_work_as_they_like_and_many_take_turns(
    monkeypatch: pytest.MonkeyPatch, many: int, expected: int
) -> None:
    monkeypatch.setattr(switching, "MANY_THREADS", many)
    inside, most, guard = 0, 0, threading.Lock()
    begin = threading.Barrier(THREADS, timeout=30)
    full = threading.Event()
    turns = [Turn() for _ in range(THREADS)]

    def work(turn: Turn) -> None:
        nonlocal inside, most
        begin.wait()
        with turn:
            with guard:
                inside += 1
                most = max(most, inside)
                if inside == expected:
                    full.set()
            assert full.wait(30)  # as many as may be are here together
            with guard:
                inside -= 1

    workers = [threading.Thread(target=work, args=(turn,)) for turn in turns]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert most == expected


def test_a_turn_is_given_back_while_its_flow_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switching, "MANY_THREADS", 0)
    turn = Turn()
    assert not turn._lock.locked()
    with turn:
        assert turn._lock.locked()
        with turn.left:
            assert not turn._lock.locked()
        assert turn._lock.locked()
    assert not turn._lock.locked()


def test_a_poller_waits_without_the_turn_and_hears_its_wake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(switching, "MANY_THREADS", 0)
    turn, wake = Turn(), Wake()
    with closing(StopSignal()) as stop, closing(wake):
        poller = FlowPoller(stop, wake, turn)
        taken = threading.Event()

        def other() -> None:
            with turn._lock:
                taken.set()
                wake.set()

        thread = threading.Thread(target=other)
        with turn:
            thread.start()
            poller.wait({}, None)  # would never end with the turn kept
            assert taken.is_set()
        thread.join()
        poll = select.poll()
        poll.register(wake.fileno(), select.POLLIN)
        assert poll.poll(0) == []  # the wake was taken back


def test_only_a_return_is_worth_a_wake() -> None:
    assert [one for one in PeerChange if one.is_back] == [PeerChange.UP, PeerChange.RESTORED]

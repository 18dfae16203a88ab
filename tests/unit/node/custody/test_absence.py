"""A connection outlives a neighbour that was only busy, and not one that was away."""

from __future__ import annotations

import pytest

from sentinel_node.daemon import tcp_info
from sentinel_node.daemon.control.interface import PeerChange, PeerEvent
from sentinel_node.daemon.custody.absence import LONG_SILENCE_NS, SYN_LOST_NS, Absence, Return

MS = 1_000_000


class Tcp:
    """A socket, as far as TCP_INFO goes."""

    def __init__(self, **fields: int) -> None:
        raw = bytearray(tcp_info.FULL_BYTES)
        for name, value in fields.items():
            raw[tcp_info.LAYOUT[name][0]] = value
        self._raw = bytes(raw)

    def getsockopt(self, *_: int) -> bytes:
        return self._raw


def event(change: PeerChange, at_ms: int, peer: str = "b", **more: object) -> PeerEvent:
    return PeerEvent(peer, change, at_ms * MS, 1, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tcp", "silent_ns", "useless"),
    [
        (Tcp(), 10 * LONG_SILENCE_NS, False),
        (Tcp(retransmits=1), 0, True),
        (Tcp(probes=3, backoff=3), LONG_SILENCE_NS - 1, False),
        (Tcp(probes=3, backoff=3), LONG_SILENCE_NS, True),
    ],
)
def test_tcp_itself_says_whether_it_waits(tcp: Tcp, silent_ns: int, *, useless: bool) -> None:
    back = Return(new_session=False, restarted=False, silent_ns=silent_ns)
    assert bool(back.trouble_of(tcp, established=True)) == useless  # type: ignore[arg-type]


@pytest.mark.parametrize(("silent_ns", "useless"), [(0, False), (SYN_LOST_NS, True)])
def test_who_was_silent_for_long_is_called_anew(silent_ns: int, *, useless: bool) -> None:
    back = Return(new_session=True, restarted=False, silent_ns=silent_ns)
    assert bool(back.trouble_of(Tcp(), established=False)) == useless  # type: ignore[arg-type]


def test_nothing_is_left_of_a_connection_to_who_was_started_anew() -> None:
    back = Return(new_session=True, restarted=True, silent_ns=0)
    assert back.trouble_of(Tcp(), established=True)  # type: ignore[arg-type]


def test_a_return_is_told_once_and_silence_counts_from_the_last_word() -> None:
    absence = Absence("b")
    absence.on_peer(event(PeerChange.SUSPECTED, 1000, silent_ns=100 * MS))
    assert absence.ended() is None
    absence.on_peer(event(PeerChange.DOWN, 1200))
    absence.on_peer(event(PeerChange.UP, 1500))
    assert absence.ended() == Return(new_session=True, restarted=False, silent_ns=600 * MS)
    assert absence.ended() is None


def test_what_was_not_taken_note_of_yet_is_not_forgotten() -> None:
    absence = Absence("b")
    absence.on_peer(event(PeerChange.DOWN, 1000))
    absence.on_peer(event(PeerChange.UP, 2000, restarted=True))
    absence.on_peer(event(PeerChange.RESTORED, 2001, silent_ns=0))
    assert absence.ended() == Return(new_session=True, restarted=True, silent_ns=1000 * MS)


def test_others_do_not_matter() -> None:
    absence = Absence("b")
    absence.on_peer(event(PeerChange.UP, 1, peer="c", restarted=True))
    assert absence.ended() is None

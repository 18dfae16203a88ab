"""Downstream is asked again when its word is overdue, and less and less often."""

from __future__ import annotations

from sentinel_node.daemon.custody.patience import (
    ASK_AGAIN_MOST_NS,
    ASK_AGAIN_NS,
    NS_PER_S,
    Unanswered,
)


def asked_at(unanswered: Unanswered, progress: int, until_ns: int, from_ns: int = 0) -> list[int]:
    """Seconds at which it was due, looked at only when it may be."""
    found, now_ns = [], from_ns
    while now_ns < until_ns:
        if unanswered.is_due(progress, now_ns):
            found.append(now_ns // NS_PER_S)
        assert unanswered.due_ns is not None
        assert unanswered.due_ns > now_ns, "or its driver would spin"
        now_ns = unanswered.due_ns
    return found


def test_it_is_asked_after_a_second_and_then_ever_later() -> None:
    assert asked_at(Unanswered(), 0, 100 * NS_PER_S) == [1, 3, 7, 15, 31, 61, 91]
    assert ASK_AGAIN_MOST_NS == 30 * NS_PER_S


def test_news_that_comes_seldom_is_not_asked_for() -> None:
    unanswered = Unanswered()
    asked = 0
    for news in range(100):  # every two seconds
        from_ns = news * 2 * NS_PER_S
        asked += len(asked_at(unanswered, news, from_ns + 2 * NS_PER_S, from_ns))
    assert asked < 10
    assert asked_at(unanswered, 99, 230 * NS_PER_S, 200 * NS_PER_S), "but not never"


def test_nothing_is_asked_where_nothing_is_awaited() -> None:
    unanswered = Unanswered()
    assert not unanswered.is_due(1, 0)
    assert not unanswered.is_due(None, 10 * ASK_AGAIN_NS)
    assert unanswered.due_ns is None
    assert not unanswered.is_due(1, 20 * ASK_AGAIN_NS), "it is awaited from now on"

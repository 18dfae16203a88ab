"""What happens next: a tournament over the sources of events.

A source is a link (whose packets are a FIFO, so only the first matters) or a connection's timers.
`due[s]` is when source `s` has its next event; `winners` is a complete binary tree whose root is
the earliest source, and among equals the one of the lowest rank.
"""

from __future__ import annotations

from sentinel_sim.engine.jit import compiled, compiled_inline


@compiled
def set_due(w, source, when):
    """The next event of `source` is at `when`, sooner or later than before."""
    due = w.due
    winners = w.winners
    due[source] = when
    node = (source + due.shape[0]) >> 1
    while node > 0:
        left = winners[2 * node]
        right = winners[2 * node + 1]
        winner = left if due[left] <= due[right] else right
        # Above a match that another source goes on winning, nothing changes.
        if winner == winners[node] and winner != source:
            return
        winners[node] = winner
        node >>= 1


@compiled_inline
def wake(w, source, when):
    """See to it that `source` has an event at `when` or sooner.

    Timers that move into the future are left where they are; they find out when they fire.
    """
    if when < w.due[source]:
        set_due(w, source, when)

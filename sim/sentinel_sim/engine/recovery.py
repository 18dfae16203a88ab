"""What a sender does about loss: recovery, retransmission timeout, tail loss probe.

As Linux (net/ipv4/tcp_input.c, tcp_timer.c): PRR (RFC 6937) in recovery, one segment and slow start
after a timeout, TLP (RFC 8985, section 7). Left out: undo of spurious recoveries, F-RTO, ECN.
"""

from __future__ import annotations

import numpy as np

from sentinel_sim.engine import bbr, congestion
from sentinel_sim.engine.jit import compiled
from sentinel_sim.engine.layout import (
    BBR,
    DISORDER,
    LOSS,
    LOST,
    NEVER,
    OPEN,
    RECOVERY,
    RETRANSMITTED,
    SACKED,
)
from sentinel_sim.engine.scoreboard import detect, in_flight, mark_all_lost, segment
from sentinel_sim.engine.sending import (
    may_send_new,
    send_again,
    send_new,
    set_timers,
    transmit,
)


@compiled
def enter_recovery(c):
    c.high_seq = c.nxt
    c.prior_cwnd = c.cwnd
    if c.control == BBR:
        bbr.save_window(c)
    else:
        c.ssthresh = congestion.threshold_after_loss(c)
    c.cwnd_count = 0
    c.prr_delivered = 0
    c.prr_out = 0
    c.ca_state = RECOVERY
    c.tlp_at = NEVER


@compiled
def reduce_window(c, delivered, lost, advanced):
    """Proportional rate reduction (RFC 6937, tcp_cwnd_reduction)."""
    if delivered <= 0:
        return
    pipe = in_flight(c)
    c.prr_delivered += delivered
    delta = c.ssthresh - pipe
    if delta < 0:
        due = (c.ssthresh * c.prr_delivered + c.prior_cwnd - 1) // c.prior_cwnd
        count = due - c.prr_out
    else:
        count = max(c.prr_delivered - c.prr_out, delivered)
        if advanced and lost == 0:
            count += 1
        count = min(delta, count)
    count = max(count, 0 if c.prr_out > 0 else 1)
    c.cwnd = pipe + count


@compiled
def leave_recovery(c):
    """All that was out at its beginning has arrived."""
    if c.ca_state == RECOVERY and c.control != BBR:
        c.cwnd = c.ssthresh
    c.ca_state = OPEN
    c.backoff = 0


@compiled
def on_reorder_timer(w, i, now):
    """RACK's patience with a few SACKed segments is over."""
    c = w.conns[i]
    found = detect(w, i, now)
    if found > 0:
        if c.ca_state < RECOVERY:
            enter_recovery(c)
            reduce_window(c, np.int64(1), found, False)
        transmit(w, i, now)


@compiled
def on_rto(w, i, now):
    """The retransmission timer fires: everything is lost, begin with one (tcp_enter_loss)."""
    c = w.conns[i]
    c.rto_at = NEVER
    if c.nxt == c.una:
        return
    if c.ca_state < LOSS:
        if c.control == BBR:
            bbr.save_window(c)
        else:
            c.ssthresh = congestion.threshold_after_loss(c)
        c.prior_cwnd = c.cwnd
    c.ca_state = LOSS
    c.high_seq = c.nxt
    mark_all_lost(w, i)
    c.cwnd = 1
    c.cwnd_count = 0
    congestion.on_timeout(c, now)
    if c.control == BBR:
        bbr.on_timeout(c)
        c.bbr_pace_next = now
    c.backoff = min(c.backoff + 1, 12)
    set_timers(w, c, now)
    transmit(w, i, now)


@compiled
def on_tail_probe(w, i, now):
    """Nothing came back for two RTTs: send one segment to provoke an answer (TLP)."""
    c = w.conns[i]
    c.tlp_at = NEVER
    if c.nxt == c.una or c.ca_state > DISORDER or c.probe_out > 0:
        return
    c.probe_out = 1
    if may_send_new(w, i):
        send_new(w, i, now)
    else:
        row = segment(w, c, c.nxt - 1)
        if row.flags & (SACKED | LOST | RETRANSMITTED) == 0:
            send_again(w, i, c.nxt - 1, now)
    set_timers(w, c, now)

"""BBR version 1, as in Linux (net/ipv4/tcp_bbr.c; Cardwell et al., ACM Queue 14:5, 2016).

Rates are segments per second. Left out: the long-term model for policers and the extra window for
aggregated ACKs, since these links do neither. The pacing margin of 1 % is kept.
"""

from __future__ import annotations

import numpy as np

from sentinel_sim.engine.chance import draw
from sentinel_sim.engine.jit import compiled, compiled_inline
from sentinel_sim.engine.layout import LOSS, MS_NS, RECOVERY, SECOND_NS
from sentinel_sim.engine.scoreboard import in_flight

STARTUP, DRAIN, PROBE_BW, PROBE_RTT = 0, 1, 2, 3
HIGH_GAIN = 2885.0 / 1000.0
DRAIN_GAIN = 1000.0 / 2885.0
CWND_GAIN = 2.0
FULL_BW_GROWTH = 1.25
FULL_BW_ROUNDS = 3
BW_ROUNDS = 10
MIN_RTT_WINDOW_NS = 10 * SECOND_NS
PROBE_RTT_NS = 200_000_000
CWND_MIN = 4
CYCLE_LENGTH = 8
PACING_MARGIN = 0.99
UNIT = 1 << 20
"""Bandwidth samples are kept as segments per second times this."""


@compiled
def init(c, now):
    """The connection is established (bbr_init).

    Its first RTT is not known if the SYN was sent twice: then 1 ms is taken until it is.
    """
    c.bbr_mode = STARTUP
    c.bbr_min_rtt = c.min_rtt
    c.bbr_min_at = now
    c.bbr_pacing_gain = HIGH_GAIN
    c.bbr_cwnd_gain = HIGH_GAIN
    rtt = c.srtt if c.srtt > 0 else MS_NS
    c.bbr_rate = HIGH_GAIN * c.cwnd * 1e9 / rtt
    c.bbr_pace_next = now


@compiled_inline
def _filter(c, bw):
    """Maximum over the last ten rounds, by its three best samples (lib/win_minmax.c)."""
    now = c.bbr_rounds
    if bw >= c.bbr_bw0 or now - c.bbr_at2 > BW_ROUNDS:
        c.bbr_bw0 = c.bbr_bw1 = c.bbr_bw2 = bw
        c.bbr_at0 = c.bbr_at1 = c.bbr_at2 = now
        return
    if bw >= c.bbr_bw1:
        c.bbr_bw1 = c.bbr_bw2 = bw
        c.bbr_at1 = c.bbr_at2 = now
    elif bw >= c.bbr_bw2:
        c.bbr_bw2 = bw
        c.bbr_at2 = now
    age = now - c.bbr_at0
    if age > BW_ROUNDS:
        c.bbr_bw0, c.bbr_at0 = c.bbr_bw1, c.bbr_at1
        c.bbr_bw1, c.bbr_at1 = c.bbr_bw2, c.bbr_at2
        c.bbr_bw2, c.bbr_at2 = bw, now
        if now - c.bbr_at0 > BW_ROUNDS:
            c.bbr_bw0, c.bbr_at0 = c.bbr_bw1, c.bbr_at1
            c.bbr_bw1, c.bbr_at1 = c.bbr_bw2, c.bbr_at2
    elif c.bbr_at1 == c.bbr_at0 and age > BW_ROUNDS // 4:
        c.bbr_bw1 = c.bbr_bw2 = bw
        c.bbr_at1 = c.bbr_at2 = now
    elif c.bbr_at2 == c.bbr_at1 and age > BW_ROUNDS // 2:
        c.bbr_bw2 = bw
        c.bbr_at2 = now


@compiled
def _bdp(c, gain):
    if c.bbr_min_rtt == 0 or c.bbr_bw0 == 0:
        return c.initial_window
    return int(gain * (c.bbr_bw0 / UNIT) * c.bbr_min_rtt * 1e-9) + 1


@compiled
def burst_of(c):
    """Segments that leave together: 1 ms of the pacing rate, from 2 to 44 (64 KiB)."""
    return min(max(int(c.bbr_rate * 1e-3), 2), 44)


@compiled
def _target(c, gain):
    target = _bdp(c, gain) + 3 * burst_of(c)
    target = (target + 1) & ~1
    if c.bbr_mode == PROBE_BW and c.bbr_cycle == 0:
        target += 2
    return target


@compiled_inline
def _update_bandwidth(c, prior_delivered, sent_interval, now, limited):
    c.bbr_round_start = 0
    if prior_delivered < 0:
        return
    interval = max(sent_interval, now - c.delivered_prior_at)
    if prior_delivered >= c.bbr_next_round:
        c.bbr_next_round = c.delivered
        c.bbr_rounds += 1
        c.bbr_round_start = 1
        c.bbr_conserve = 0
    if interval < c.min_rtt or interval <= 0:
        return
    bw = int((c.delivered - prior_delivered) * 1e9 * UNIT / interval)
    if not limited or bw >= c.bbr_bw0:
        _filter(c, bw)


@compiled_inline
def _update_cycle(c, now, lost):
    if c.bbr_mode != PROBE_BW:
        return
    full = now - c.bbr_cycle_at > c.bbr_min_rtt
    if c.bbr_pacing_gain > 1.0:
        following = full and (lost > 0 or c.bbr_prior_out >= _target(c, c.bbr_pacing_gain))
    elif c.bbr_pacing_gain < 1.0:
        following = full or c.bbr_prior_out <= _target(c, 1.0)
    else:
        following = full
    if following:
        c.bbr_cycle = (c.bbr_cycle + 1) % CYCLE_LENGTH
        c.bbr_cycle_at = now
        _set_cycle_gain(c)


@compiled
def _set_cycle_gain(c):
    if c.bbr_cycle == 0:
        c.bbr_pacing_gain = 1.25
    elif c.bbr_cycle == 1:
        c.bbr_pacing_gain = 0.75
    else:
        c.bbr_pacing_gain = 1.0


@compiled
def _enter_probe_bw(c, now):
    c.bbr_mode = PROBE_BW
    c.bbr_cwnd_gain = CWND_GAIN
    # Any phase but the draining one, drawn from the connection's own stream.
    number = draw(np.uint64(c.bbr_seed), np.uint64(c.bbr_rounds))
    phase = np.int64(number % np.uint64(CYCLE_LENGTH - 1))
    c.bbr_cycle = (CYCLE_LENGTH - phase) % CYCLE_LENGTH
    c.bbr_cycle_at = now
    _set_cycle_gain(c)


@compiled_inline
def _check_startup(c, limited, now):
    if c.bbr_full_count < FULL_BW_ROUNDS and c.bbr_round_start and not limited:
        if c.bbr_bw0 >= c.bbr_full_bw * FULL_BW_GROWTH:
            c.bbr_full_bw = c.bbr_bw0
            c.bbr_full_count = 0
        else:
            c.bbr_full_count += 1
    if c.bbr_mode == STARTUP and c.bbr_full_count >= FULL_BW_ROUNDS:
        c.bbr_mode = DRAIN
        c.bbr_pacing_gain = DRAIN_GAIN
        c.bbr_cwnd_gain = HIGH_GAIN
        c.ssthresh = _target(c, 1.0)
    if c.bbr_mode == DRAIN and in_flight(c) <= _target(c, 1.0):
        _enter_probe_bw(c, now)


@compiled_inline
def _check_probe_rtt(c, rtt, now):
    expired = now > c.bbr_min_at + MIN_RTT_WINDOW_NS
    if rtt > 0 and (c.bbr_min_rtt == 0 or rtt < c.bbr_min_rtt or expired):
        c.bbr_min_rtt = rtt
        c.bbr_min_at = now
    if expired and c.bbr_mode != PROBE_RTT:
        c.bbr_mode = PROBE_RTT
        c.bbr_pacing_gain = 1.0
        c.bbr_cwnd_gain = 1.0
        c.bbr_prior_cwnd = max(c.cwnd, c.bbr_prior_cwnd)
        c.bbr_probe_done = 0
    if c.bbr_mode != PROBE_RTT:
        return
    if c.bbr_probe_done == 0 and in_flight(c) <= CWND_MIN:
        c.bbr_probe_done = now + PROBE_RTT_NS
        c.bbr_probe_round = 0
        c.bbr_next_round = c.delivered
    elif c.bbr_probe_done > 0:
        if c.bbr_round_start:
            c.bbr_probe_round = 1
        if c.bbr_probe_round and now > c.bbr_probe_done:
            c.bbr_min_at = now
            c.cwnd = max(c.cwnd, c.bbr_prior_cwnd)
            c.bbr_prior_cwnd = 0
            if c.bbr_full_count >= FULL_BW_ROUNDS:
                _enter_probe_bw(c, now)
            else:
                c.bbr_mode = STARTUP
                c.bbr_pacing_gain = HIGH_GAIN
                c.bbr_cwnd_gain = HIGH_GAIN


@compiled_inline
def _set_rate(c):
    if c.bbr_bw0 == 0:
        return
    rate = c.bbr_pacing_gain * (c.bbr_bw0 / UNIT) * PACING_MARGIN
    if c.bbr_full_count >= FULL_BW_ROUNDS or rate > c.bbr_rate:
        c.bbr_rate = rate


@compiled_inline
def _set_window(c, delivered, lost):
    cwnd = c.cwnd
    recovering = c.ca_state >= RECOVERY
    was_recovering = c.bbr_prev_state >= RECOVERY
    if lost > 0:
        cwnd = max(cwnd - lost, 1)
    if c.ca_state == RECOVERY and c.bbr_prev_state != RECOVERY:
        c.bbr_conserve = 1
        c.bbr_next_round = c.delivered
        cwnd = in_flight(c) + delivered
    elif was_recovering and not recovering:
        cwnd = max(cwnd, c.bbr_prior_cwnd)
        c.bbr_conserve = 0
    c.bbr_prev_state = c.ca_state
    if c.bbr_conserve:
        cwnd = max(cwnd, in_flight(c) + delivered)
    else:
        target = _target(c, c.bbr_cwnd_gain)
        if c.bbr_full_count >= FULL_BW_ROUNDS:
            cwnd = min(cwnd + delivered, target)
        elif cwnd < target or c.delivered < c.initial_window:
            cwnd += delivered
        cwnd = max(cwnd, CWND_MIN)
    if c.bbr_mode == PROBE_RTT:
        cwnd = min(cwnd, CWND_MIN)
    c.cwnd = cwnd


@compiled
def save_window(c):
    """Before recovery: what to come back to (bbr_save_cwnd)."""
    if c.bbr_prev_state < RECOVERY and c.bbr_mode != PROBE_RTT:
        c.bbr_prior_cwnd = c.cwnd
    else:
        c.bbr_prior_cwnd = max(c.bbr_prior_cwnd, c.cwnd)


@compiled
def on_ack(c, now, prior_delivered, sent_interval, limited, delivered, lost, rtt):
    """The model and the control after each ACK (bbr_main)."""
    _update_bandwidth(c, prior_delivered, sent_interval, now, limited)
    _update_cycle(c, now, lost)
    _check_startup(c, limited, now)
    _check_probe_rtt(c, rtt, now)
    _set_rate(c)
    if delivered > 0 or lost > 0:
        _set_window(c, delivered, lost)


@compiled
def on_timeout(c):
    """After a retransmission timeout (bbr_set_state with TCP_CA_Loss)."""
    c.bbr_full_bw = 0
    c.bbr_prev_state = LOSS
    c.bbr_round_start = 1

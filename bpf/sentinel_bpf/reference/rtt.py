"""Passive RTT: sentinel_rtt.h."""

from __future__ import annotations

from sentinel_bpf.reference.parse import ACK, SYN, Tcp
from sentinel_bpf.reference.state import MASK32, MASK64, Exchange, HalfState

GENERATION = 0xFFFF << 48
KNOWN = 1 << 33
WAITS = 1 << 32
VOID = 1 << 47
STAMP_TIME = VOID - 1
RTT_MAX_NS = 2**32 - 1
WINDOW_SHIFT = 33
GAINS_X8 = (1, 2, 3, 5, 7, 8)
"""By the bits of the window in 4096 bytes: below 1, 1, 2 to 3, 4 to 7, 8 to 15, and 16 or more."""


def is_after(a: int, b: int) -> bool:
    """Whether sequence number (or TSval) `a` is later than `b`, modulo 2**32."""
    return bool(((b - a) & MASK32) >> 31)


def ask(probe: int, value: int) -> int:
    """sentinel_ask(): the next probe."""
    generation = (probe >> 48) + 1
    return (generation if generation < 1 << 16 else 1) << 48 | KNOWN | WAITS | value


def _is_asked(probe: int, stamp: int) -> bool:
    return bool(probe & WAITS) and (probe ^ stamp) >> 48 != 0


def _answer(probe: int, now_ns: int) -> int:
    return (probe & GENERATION) | (now_ns & STAMP_TIME)


def _sample_ns(stamp: int, sent_ns: int) -> int:
    passed_ns = (stamp - sent_ns) & STAMP_TIME
    return 0 if stamp & VOID or passed_ns > RTT_MAX_NS else passed_ns


def waiting_ns(probe: int, stamp: int, sent_ns: int) -> int:
    """The sample that the next packet of the direction will take; 0: none."""
    answered = probe & WAITS and (probe ^ stamp) >> 48 == 0
    return _sample_ns(stamp, sent_ns) if answered else 0


def gain_x8_of(sent_behind_bytes: int) -> int:
    """sentinel_gain_x8(): the gain of a sample, by the bytes sent behind the probed segment."""
    return GAINS_X8[min(sent_behind_bytes >> 12, 16).bit_length()]


def smooth(srtt_ns_x8: int, rtt_ns: int, gain_x8: int = 1) -> int:
    """sentinel_smooth(): RFC 6298, times eight; 1 is its gain of 1/8."""
    if not srtt_ns_x8:
        return rtt_ns << 3
    return srtt_ns_x8 - gain_x8 * (srtt_ns_x8 >> 3) + gain_x8 * rtt_ns


def take_minimum(half: HalfState, rtt_ns: int, now_ns: int) -> None:
    """sentinel_minimum()."""
    windows = ((now_ns - half.min_window_start_ns) & MASK64) >> WINDOW_SHIFT
    if not half.rtt_samples or windows:
        half.min_before_ns = half.min_now_ns if windows == 1 else 0
        half.min_now_ns = rtt_ns
        half.min_window_start_ns = now_ns
    else:
        half.min_now_ns = min(half.min_now_ns, rtt_ns)
    half.rtt_min_ns = half.min_now_ns
    if half.min_before_ns:
        half.rtt_min_ns = min(half.rtt_min_ns, half.min_before_ns)


def take_sample(half: HalfState, rtt_ns: int, value: int, now_ns: int) -> None:
    """sentinel_sample(): `value` is the sequence number that was probed."""
    away_ns = abs(rtt_ns - (half.srtt_ns_x8 >> 3))
    take_minimum(half, rtt_ns, now_ns)
    if not half.srtt_ns_x8:
        half.rttvar_ns_x4 = rtt_ns << 1
    else:
        half.rttvar_ns_x4 += away_ns - (half.rttvar_ns_x4 >> 2)
    gain_x8 = gain_x8_of((half.seq_high - value) & MASK32)
    half.srtt_ns_x8 = smooth(half.srtt_ns_x8, rtt_ns, gain_x8)
    half.rtt_us = (half.srtt_ns_x8 >> 3) // 1000 & MASK32
    half.rtt_last_ns = rtt_ns
    half.rtt_samples = (half.rtt_samples + 1) & MASK32


def take_ts_sample(half: HalfState, rtt_ns: int) -> None:
    """sentinel_ts_sample()."""
    half.ts_srtt_ns_x8 = smooth(half.ts_srtt_ns_x8, rtt_ns)
    half.ts_rtt_us = (half.ts_srtt_ns_x8 >> 3) // 1000 & MASK32
    half.ts_samples = (half.ts_samples + 1) & MASK32


def answer(own: Exchange, other: Exchange, tcp: Tcp, now_ns: int) -> None:
    """sentinel_rtt_answer()."""
    probe = other.probe
    if _is_asked(probe, own.stamp) and not is_after(probe & MASK32, tcp.acknowledgement):
        own.stamp = _answer(probe, now_ns)
    probe = other.ts_probe
    if tcp.timestamps is None or not _is_asked(probe, own.ts_stamp):
        return
    echo = tcp.timestamps[1]
    if echo == probe & MASK32:
        own.ts_stamp = _answer(probe, now_ns)
    elif is_after(echo, probe & MASK32):
        own.ts_stamp = _answer(probe, now_ns) | VOID


def seq_probe(half: HalfState, other: Exchange, tcp: Tcp, now_ns: int) -> bool:
    """sentinel_seq_probe(): whether there is a new sample."""
    probe, rtt_ns = half.exchange.probe, 0
    if probe & WAITS and (probe ^ other.stamp) >> 48 == 0:
        rtt_ns = _sample_ns(other.stamp, half.probe_sent_ns)
        probe &= ~WAITS
        if rtt_ns:
            take_sample(half, rtt_ns, probe & MASK32, now_ns)
    if tcp.occupies:
        end, known = (tcp.sequence + tcp.occupies) & MASK32, probe & KNOWN
        if known and is_after(half.seq_high, tcp.sequence):
            half.retransmissions = (half.retransmissions + 1) & MASK32
            probe &= ~WAITS
        elif not probe & WAITS and (known or tcp.flags & SYN):
            half.probe_sent_ns = now_ns
            probe = ask(probe, end)
        if not known or is_after(end, half.seq_high):
            half.seq_high = end
        probe |= KNOWN
    half.exchange.probe = probe
    return rtt_ns != 0


def ts_probe(half: HalfState, other: Exchange, tcp: Tcp, now_ns: int) -> None:
    """sentinel_ts_probe()."""
    assert tcp.timestamps is not None
    probe, value = half.exchange.ts_probe, tcp.timestamps[0]
    if probe & WAITS:
        if (probe ^ other.ts_stamp) >> 48:
            return
        rtt_ns = _sample_ns(other.ts_stamp, half.ts_sent_ns)
        if rtt_ns:
            take_ts_sample(half, rtt_ns)
        half.exchange.ts_probe = (probe & ~(WAITS | MASK32)) | value
        return
    is_new = is_after(value, probe & MASK32) if probe & KNOWN else bool(tcp.flags & SYN)
    if is_new and tcp.occupies:
        half.ts_sent_ns = now_ns
        half.exchange.ts_probe = ask(probe, value)
    elif is_new or not probe & KNOWN:
        half.exchange.ts_probe = (probe & ~MASK32) | KNOWN | value


def observe(half: HalfState, other: Exchange, tcp: Tcp, now_ns: int) -> bool:
    """sentinel_rtt(): whether the smoothed RTT of this direction has changed."""
    if tcp.flags & ACK:
        answer(half.exchange, other, tcp, now_ns)
    if tcp.timestamps is not None:
        ts_probe(half, other, tcp, now_ns)
    return seq_probe(half, other, tcp, now_ns)


def expire(half: HalfState, now_ns: int) -> None:
    """sentinel_rtt_expire(): once a tick."""
    words = half.exchange
    if words.probe & WAITS and (now_ns - half.probe_sent_ns) & MASK64 > RTT_MAX_NS:
        words.probe &= ~WAITS
    if words.ts_probe & WAITS and (now_ns - half.ts_sent_ns) & MASK64 > RTT_MAX_NS:
        words.ts_probe &= ~WAITS

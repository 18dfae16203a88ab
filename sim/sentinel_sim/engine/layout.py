"""The memory of a simulation: one structured array per kind of thing.

Integers are 64 bits wide unless a packet carries them. Times are nanoseconds of virtual time,
`NEVER` for a timer that is not set. Sequence numbers count segments.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

NEVER = 1 << 62
BOUNDLESS = 1 << 52
"""Segments of a stream whose length nothing limits."""
SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
INFINITE_SSTHRESH = 0x7FFFFFFF

# Packet kinds. Not Python's integers: for each of those that is passed as a literal, numba would
# compile the function called, and what that calls, once more.
SYN, SYNACK, OPENED = np.int64(0), np.int64(1), np.int64(2)
DATA, ACK, ECHO = np.int64(3), np.int64(4), np.int64(5)

# Congestion controls.
RENO, CUBIC, BBR = 0, 1, 2

# States of a connection's sending end.
CLOSED, OPENING, ESTABLISHED, FINISHED = 0, 1, 2, 3

# tcp_ca_state of Linux; the numbers are those of tcpi_ca_state.
OPEN, DISORDER, CWR, RECOVERY, LOSS = 0, 1, 2, 3, 4

# Segment flags.
SACKED, LOST, RETRANSMITTED, EVER_RETRANSMITTED, RECEIVED, APP_LIMITED = 1, 2, 4, 8, 16, 32

# Why `machine.advance` came back.
REACHED, GROW_RING, GROW_SEGMENTS, ALL_DONE = 0, 1, 2, 3

BURST_SEGMENTS = 64
"""Most segments that one event sends; more go out at the same instant, as a next event."""
RING_MARGIN = 4 * BURST_SEGMENTS
"""A ring is enlarged while so many places are left, since no event can use more of one."""

Array = npt.NDArray[Any]


def _row(ints: str, floats: str = "", unsigned: str = "") -> np.dtype[Any]:
    """Fields by name, all of 64 bits."""
    kinds = ((ints, np.int64), (floats, np.float64), (unsigned, np.uint64))
    return np.dtype([(name, kind) for names, kind in kinds for name in names.split()])


PACKET = np.dtype(
    [
        ("due", np.int64),
        ("departed", np.int64),
        ("seq", np.int64),
        ("stamp", np.int64),
        ("echo", np.int64),
        ("window", np.int64),
        ("owner", np.int32),
        ("route", np.int32),
        ("kind", np.int32),
        ("size", np.int32),
        ("blocks", np.int32),
        ("begin0", np.int32),
        ("end0", np.int32),
        ("begin1", np.int32),
        ("end1", np.int32),
        ("begin2", np.int32),
        ("end2", np.int32),
        ("pad", np.int32),
    ]
)
"""One packet on one link. With data, `blocks` tells of the end of a packet before segmentation.

SACK blocks are relative to `seq`, most recent first (RFC 2018)."""

LINK = _row(
    # What it is. `step` is the time of one byte in 2^-20 ns.
    "step delay queue_ns jitter first mask sample_every sample_next"
    # Ring of packets under way; the transmitter's state.
    " head tail free fraction last_due"
    # Loss: bad is the state of a Gilbert-Elliott channel.
    " draws bad lossy"
    # Counts: offered = dropped + accepted; accepted = lost + arrived + under way.
    " offered offered_bytes queue_dropped dropped_bytes accepted accepted_bytes lost"
    " lost_bytes arrived arrived_bytes samples",
    unsigned="loss_seed jitter_seed loss_good loss_bad to_bad to_good",
)
"""One direction of one link. Probabilities are thresholds of a 64-bit random number."""

SEGMENT = _row(
    "sent first_sent delivered delivered_at flags"
    # Two queues that live in the same ring, indexed by their own counters: segments to send
    # again, and retransmissions in the order in which they left.
    " lost_seq again_seq again_sent"
)
"""One segment, at its sequence number modulo the ring; `flags` serve both ends."""

CONNECTION = _row(
    # What it is.
    "rank control mss data_route ack_route first mask previous next size_bytes"
    " start stop send_max receive_max fixed_window relay_bytes relay_segments"
    " initial_window hystart_on offload"
    # The application at the sending end. `total` is -1 until it is known.
    " state total last_bytes written write_end send_buffer send_room room_cwnd accepted"
    " first_write done_at"
    # Its start, if somebody holds it back from outside: how far it may write, and when to look
    # again; how much may wait unsent (0: as much as there is room for).
    " write_most nudge_at unsent_most"
    # The sender.
    " una nxt edge cwnd ssthresh cwnd_count sacked lost retrans ca_state high_seq"
    " srtt rttvar rto backoff min_rtt delivered delivered_at first_sent app_limited"
    " rack_sent rack_seq rack_rtt scan lost_head lost_tail again_head again_tail"
    " prr_delivered prr_out prior_cwnd ack_stamp probe_out"
    # Of the ACK at hand: the segment sent last among those it says have arrived, and when the first
    # and the last of those left that it SACKs for the first time (-1: none).
    " sample_sent sample_from sample_at sample_first sample_limited sacked_first sacked_last"
    " packet_left last_sent limited limited_seq most_out"
    " resent_segments sent_segments sent_bytes resent_bytes"
    " cache_begin0 cache_end0 cache_begin1 cache_end1 cache_begin2 cache_end2"
    # Its timers.
    " rto_at tlp_at reorder_at pace_at delack_at"
    # The receiver.
    " rcv_nxt copied acked_up_to quick gaps"
    " begin0 end0 begin1 end1 begin2 end2 begin3 end3 blocks"
    " rcv_ssthresh rcv_clamp space copied_mark drs_at rcv_rtt advertised first_byte last_byte"
    " data_arrived duplicates"
    # CUBIC and HyStart.
    " epoch cubic_at cubic_cwnd ack_count cubic_step last_max tcp_cwnd"
    " round_start last_ack round_end round_rtt round_samples found delay_min"
    # BBR.
    " bbr_mode bbr_min_rtt bbr_min_at bbr_probe_done bbr_round_start bbr_next_round bbr_rounds"
    " bbr_full_count bbr_full_bw bbr_cycle bbr_cycle_at bbr_conserve bbr_prior_cwnd bbr_bw0 bbr_at0"
    " bbr_bw1 bbr_at1 bbr_bw2 bbr_at2 bbr_restore bbr_pace_next bbr_prev_state bbr_has_rtt"
    " bbr_probe_round bbr_seed bbr_prior_out delivered_prior_at",
    "origin k bbr_pacing_gain bbr_cwnd_gain bbr_rate pace_most",
)
"""One TCP connection, both ends of it."""

STATE = _row("now status which events connections_left next_probe originated forwarded delivered")
"""The one row of what belongs to the whole."""

PROBE = _row("send_at route size returned")
"""A packet without a flow, sent at a given time over a given way; by the time of sending."""


class World(NamedTuple):
    """All arrays of one simulation, as the compiled functions take them."""

    state: Array
    due: Array
    """Next event of each source: links, connections, then all probes as one; padded to 2^n."""
    winners: Array
    """Tournament over `due`; see `timeline`."""
    links: Array
    packets: Array
    conns: Array
    segments: Array
    routes: Array
    """Link indices, each way ended by -1."""
    probes: Array
    lateness: Array
    """Sampled lateness, a row per link."""

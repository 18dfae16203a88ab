"""Generated flows that are short, sparse or mixed: what most flows on a network are.

Pages, questions and answers, acknowledgements, voice, conferences, video in chunks, several of
them in one flow, and the beginnings of flows. Parameters are drawn as in traffic.py, from
what is known of such traffic, never from a capture.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sentinel_bpf.training.traffic import (
    FULL_BYTES,
    SECOND_NS,
    STEADY,
    Generator,
    Seconds,
    Sizes,
    Times,
    clocked,
    finish,
    log_uniform,
)

Kind = Callable[[Generator], tuple[Times, Sizes]]

ACK_BYTES = 66
PACKETS_MAX = 40_000
"""Of one flow: these kinds are small."""


def _joined(parts: list[tuple[Seconds, Seconds]]) -> tuple[Times, Sizes]:
    """Parts, given as times and sizes, as one flow."""
    times = np.concatenate([part[0] for part in parts])
    sizes = np.concatenate([part[1] for part in parts])
    order = np.argsort(times, kind="stable")[:PACKETS_MAX]
    return finish(times[order], sizes[order])


def _transfer(
    rng: Generator, start_s: float, size: float, rtt_s: float, rate_pps: float
) -> Seconds:
    """Times of the packets of `size` bytes in slow start from a window of ten."""
    rest = max(1, int(np.ceil(size / FULL_BYTES)))
    rounds = []
    window = 10.0
    while rest > 0:
        rounds.append(min(window, rest))
        rest -= int(rounds[-1])
        window = min(2 * window, max(10.0, rate_pps * rtt_s))
    times = np.concatenate(clocked(np.array(rounds), rtt_s, rate_pps))
    return start_s + times + rng.uniform(0, 0.0005, len(times))


def web(rng: Generator) -> tuple[Times, Sizes]:
    """Pages of several objects, a second or so of loading, then reading."""
    rtt_s, rate_pps = log_uniform(rng, 0.008, 0.25), log_uniform(rng, 5e6, 1e9) / 8 / FULL_BYTES
    reading_s, mean_bytes = log_uniform(rng, 0.5, 8), log_uniform(rng, 2e3, 3e5)
    end_s, now, parts = rng.uniform(4, 40), 0.0, []
    while now < end_s:
        for _ in range(int(rng.geometric(0.2))):
            size = mean_bytes * rng.lognormal(-1, 1.4)
            times = _transfer(rng, now, min(size, 8e6), rtt_s, rate_pps)
            parts.append((times, np.append(np.full(len(times) - 1, FULL_BYTES), 54 + size % 1460)))
            now = times[-1] + rtt_s * rng.choice([0.02, 1.0, 2.0]) + rng.exponential(0.02)
        now += rng.exponential(reading_s)
    return _joined(parts)


def chunks(rng: Generator) -> tuple[Times, Sizes]:
    """Adaptive video: a chunk every few seconds, as fast as TCP takes it; a longer start."""
    rtt_s, rate_pps = log_uniform(rng, 0.008, 0.15), log_uniform(rng, 5e6, 3e8) / 8 / FULL_BYTES
    period_s, mean_bytes = rng.uniform(0.8, 6), log_uniform(rng, 3e4, 2e6)
    filling = int(rng.integers(0, 8))
    now, parts, packets = 0.0, [], 0
    for number in range(int(rng.integers(5, 40))):
        size = mean_bytes * rng.lognormal(0, 0.4)
        times = _transfer(rng, now, size, rtt_s, rate_pps)
        parts.append((times, np.full(len(times), FULL_BYTES)))
        wait_s = 2 * rtt_s if number < filling else period_s * rng.uniform(0.9, 1.1)
        now = max(now + wait_s, times[-1] + rtt_s)
        packets += len(times)
        if packets > PACKETS_MAX:
            break
    return _joined(parts)


def messages(rng: Generator) -> tuple[Times, Sizes]:
    """Questions as of DNS, chat and control: one to a few small packets now and then."""
    gap_s, within_s = log_uniform(rng, 0.04, 1.5), log_uniform(rng, 0.001, 0.15)
    followers, mean_bytes = rng.uniform(0, 3), log_uniform(rng, 70, 500)
    starts = np.cumsum(rng.exponential(gap_s, int(rng.integers(20, 300))))
    counts = 1 + rng.poisson(followers, len(starts))
    times = np.concatenate(
        [s + np.cumsum(rng.exponential(within_s, n)) for s, n in zip(starts, counts, strict=True)]
    )
    sizes = np.clip(mean_bytes * rng.lognormal(0, rng.uniform(0, 0.8), len(times)), 54, FULL_BYTES)
    return _joined([(times, sizes)])


def _spoken(rng: Generator, end_s: float) -> tuple[Seconds, Seconds]:
    period_s = float(rng.choice([0.02, 0.03, 0.04, 0.06]))
    quiet_s, talk_s = log_uniform(rng, 0.1, 3), log_uniform(rng, 0.4, 5)
    parts: list[Seconds] = [np.zeros(1)]
    now = 0.0
    while now < end_s:
        count = max(1, int(rng.exponential(talk_s) / period_s))
        parts.append(np.asarray(now + np.arange(count) * period_s, np.float64))
        now += count * period_s
        pause = rng.exponential(quiet_s)
        parts.append(now + np.arange(0, pause, 0.16))
        now += pause
    times = np.concatenate(parts)
    times = times[times < end_s]
    jitter = np.abs(rng.normal(0, rng.choice([0.0005, 0.003, 0.01]), len(times)))
    return times + jitter, rng.uniform(60, 250) * rng.lognormal(0, rng.uniform(0, 0.3), len(times))


def voice(rng: Generator) -> tuple[Times, Sizes]:
    """Talk spurts of a packet every 20 to 60 ms, pauses with comfort noise; jitter."""
    return _joined([_spoken(rng, rng.uniform(5, 45))])


def conference(rng: Generator) -> tuple[Times, Sizes]:
    """Voice and camera in one flow: frames paced in small packets, the bit rate in steps."""
    end_s, fps = rng.uniform(5, 40), float(rng.choice([7.5, 10, 15, 24, 25, 30]))
    times_s = np.arange(0, end_s, 1 / fps)
    level = np.repeat(rng.lognormal(0, 0.5, len(times_s) // 60 + 1), 60)[: len(times_s)]
    mean_bytes = log_uniform(rng, 5e4, 3e6) / 8 / fps
    frames = mean_bytes * level * rng.lognormal(0, rng.uniform(0.1, 0.5), len(times_s))
    frames[:: int(rng.choice([30, 100, 1000]))] *= rng.uniform(1, 5)
    packet, spread = rng.uniform(700, 1300), rng.uniform(0.05, 0.9) / fps
    counts = np.ceil(frames / packet).astype(int)
    starts = times_s + np.abs(rng.normal(0, rng.choice([0.001, 0.005]), len(times_s)))
    sent = [s + np.arange(n) / n * spread for s, n in zip(starts, counts, strict=True)]
    sizes = np.repeat(frames / counts, counts)
    parts = [(np.concatenate(sent), np.clip(sizes, 60, FULL_BYTES))]
    if rng.random() < 0.6:
        parts.append(_spoken(rng, end_s))
    return _joined(parts)


def _seconds(flow: tuple[Times, Sizes]) -> tuple[Seconds, Seconds]:
    return flow[0] / SECOND_NS, flow[1].astype(float)


def _any(rng: Generator, kinds: dict[str, Kind]) -> tuple[Seconds, Seconds]:
    return _seconds(kinds[str(rng.choice(list(kinds)))](rng))


def acknowledgements(rng: Generator) -> tuple[Times, Sizes]:
    """The other direction of a flow: one small packet for two, and now and then a request."""
    times, _ = _any(rng, {"web": web, "chunks": chunks} | STEADY)
    times = times[: 2 * PACKETS_MAX : int(rng.choice([1, 2, 2, 4]))]
    times = times + np.abs(rng.normal(0, 0.001, len(times)))
    requests = np.flatnonzero(np.diff(times, prepend=times[0] - 1) > 0.1)
    sizes = np.full(len(times), ACK_BYTES, float)
    sizes[requests] = rng.uniform(100, 900)
    return _joined([(times, sizes)])


def beginnings(rng: Generator) -> tuple[Times, Sizes]:
    """The first one to eight seconds of any flow: most flows are short."""
    times, sizes = _any(rng, STEADY | SMALL)
    keep = times - times[0] < log_uniform(rng, 1.5, 8)
    return _joined([(times[keep], sizes[keep])])


def mixture(rng: Generator) -> tuple[Times, Sizes]:
    """Two to three flows in one, as in a tunnel or a multiplexed connection."""
    parts = []
    for _ in range(int(rng.integers(2, 4))):
        times, sizes = _any(rng, STEADY | SMALL)
        parts.append((times[:PACKETS_MAX] + rng.uniform(0, 2), sizes[:PACKETS_MAX]))
    return _joined(parts)


SMALL: dict[str, Kind] = {
    "web": web,
    "video-chunks": chunks,
    "messages": messages,
    "voice": voice,
    "conference": conference,
}
BURSTY: dict[str, Kind] = SMALL | {
    "acknowledgements": acknowledgements,
    "beginnings": beginnings,
    "mixture": mixture,
}
"""Name of the kind -> how a flow of it is made."""

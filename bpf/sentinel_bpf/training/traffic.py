"""Generated flows, one direction each, whose law is known: long flows of one kind.

Every parameter (rate, packet size, round trip, frame rate, ...) is drawn over the whole range the
product emulates, so that the network learns shapes, not rates. The same seed, kind and number
give the same flow on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]
Sizes = npt.NDArray[np.int64]
Seconds = npt.NDArray[np.float64]
Generator = np.random.Generator

PACKETS_MAX = 400_000
FULL_BYTES = 1514
SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Packets:
    """Packets of one direction of one flow, in order of time."""

    name: str
    times_ns: Times
    sizes: Sizes


def stream(seed: int, *name: str | int) -> Generator:
    """A generator that depends only on `seed` and `name`."""
    digest = hashlib.sha256(repr((seed, *name)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def log_uniform(rng: Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def burst(start_s: float, count: int, rate_pps: float) -> Seconds:
    """Times of `count` packets sent at line rate from `start_s` on."""
    return start_s + np.arange(count) / rate_pps


def finish(times_s: Seconds, sizes: Seconds) -> tuple[Times, Sizes]:
    order = np.argsort(times_s, kind="stable")[:PACKETS_MAX]
    times_ns = np.asarray(times_s[order] * SECOND_NS, np.int64)
    return times_ns, np.clip(sizes[order], 54, 65535).astype(np.int64)


def _full(times_s: Seconds, size: float = FULL_BYTES) -> tuple[Times, Sizes]:
    return finish(times_s, np.full(len(times_s), size))


def _duration(rng: Generator, rate_pps: float) -> float:
    """10 to 60 s, less where that would be too many packets."""
    return float(min(rng.uniform(10, 60), PACKETS_MAX / rate_pps))


def cbr(rng: Generator) -> tuple[Times, Sizes]:
    """Constant bit rate: equal packets, equal gaps, sometimes jittered by up to 5 %."""
    rate_pps = log_uniform(rng, 10, 20_000)
    count = int(_duration(rng, rate_pps) * rate_pps)
    jitter = rng.choice([0.0, 0.01, 0.05])
    times = (np.arange(count) + rng.normal(0, jitter, count)) / rate_pps
    return _full(times - times.min(), float(rng.integers(80, 1514)))


def cbr_exact(rng: Generator) -> tuple[Times, Sizes]:
    """Constant bit rate whose gap divides the interval: last value is exact."""
    gap_ns = 1 << int(rng.integers(16, 25))
    count = min(PACKETS_MAX, int(rng.uniform(10, 60) * SECOND_NS / gap_ns))
    size = int(rng.integers(80, 1514))
    return np.arange(count, dtype=np.int64) * gap_ns, np.full(count, size, np.int64)


def poisson(rng: Generator) -> tuple[Times, Sizes]:
    """Poisson arrivals, sizes of two kinds."""
    rate_pps = log_uniform(rng, 5, 20_000)
    count = int(_duration(rng, rate_pps) * rate_pps)
    times = np.cumsum(rng.exponential(1 / rate_pps, count))
    return finish(times, np.where(rng.random(count) < rng.random(), FULL_BYTES, 90.0))


def pareto_on_off(rng: Generator) -> tuple[Times, Sizes]:
    """On and off times with Pareto tails (Willinger et al. 1997); constant rate while on."""
    shape = rng.uniform(1.2, 1.9)
    on_s, off_s = log_uniform(rng, 0.05, 2), log_uniform(rng, 0.05, 2)
    rate_pps = log_uniform(rng, 50, 10_000)
    times, now, total = [], 0.0, 0
    while now < 60 and total < PACKETS_MAX:
        on = min(on_s * (rng.pareto(shape) + 1) * (shape - 1) / shape, 20.0)
        count = max(1, int(on * rate_pps))
        times.append(burst(now, count, rate_pps))
        now += on + min(off_s * (rng.pareto(shape) + 1) * (shape - 1) / shape, 20.0)
        total += count
    return _full(np.concatenate(times))


def video(rng: Generator) -> tuple[Times, Sizes]:
    """Frames at a steady rate, log-normal sizes, larger ones at the start of each group."""
    fps = float(rng.choice([15, 24, 25, 30, 50, 60]))
    mean_bytes = log_uniform(rng, 2e5, 2e7) / 8 / fps
    group, ratio = int(rng.choice([12, 15, 30, 60, 250])), rng.uniform(1.5, 6)
    rate_pps = log_uniform(rng, 2e6, 1e9) / 8 / FULL_BYTES
    sigma, jitter_s = rng.uniform(0.05, 0.5), rng.choice([0, 0.001, 0.005])
    times, sizes = [], []
    for frame in range(int(fps * rng.uniform(15, 60))):
        scale = ratio if frame % group == 0 else 1.0
        total = mean_bytes * scale * rng.lognormal(0, sigma)
        count = max(1, int(np.ceil(total / FULL_BYTES)))
        start = frame / fps + abs(rng.normal(0, jitter_s))
        times.append(burst(start, count, rate_pps))
        sizes.append(np.append(np.full(count - 1, FULL_BYTES), total - (count - 1) * FULL_BYTES))
    return finish(np.concatenate(times), np.concatenate(sizes))


def clocked(windows: Seconds, rtt_s: float, rate_pps: float) -> list[Seconds]:
    """Each window is sent as the acknowledgements of the one before came: clocked by the rate."""
    times, now = [], 0.0
    for window in windows:
        count = max(1, int(window))
        times.append(burst(now, count, rate_pps))
        now += max(rtt_s, count / rate_pps)
    return times


def slow_start(rng: Generator) -> tuple[Times, Sizes]:
    """Transfers one after the other: the window doubles each RTT up to a limit (RFC 5681)."""
    rtt_s = log_uniform(rng, 0.01, 0.3)
    rate_pps = log_uniform(rng, 2e6, 1e9) / 8 / FULL_BYTES
    limit = max(20.0, rate_pps * rtt_s * rng.uniform(0.3, 1.5))
    times, start, total = [], 0.0, 0
    for _ in range(int(rng.integers(1, 12))):
        rounds = int(rng.integers(6, 60))
        windows = np.minimum(10 * 2.0 ** np.minimum(np.arange(rounds), 30), limit)
        sent = np.concatenate(clocked(windows, rtt_s, rate_pps))
        times.append(start + sent)
        start += sent[-1] + rtt_s + rng.exponential(log_uniform(rng, 0.02, 2))
        total += len(sent)
        if total > PACKETS_MAX:
            break
    return _full(np.concatenate(times))


def cubic(rng: Generator) -> tuple[Times, Sizes]:
    """CUBIC's sawtooth (RFC 9438): W(t) = C (t - K)^3 + W_max, down to 0.7 W_max at a loss."""
    rtt_s = log_uniform(rng, 0.01, 0.3)
    peak = log_uniform(rng, 20, 2000)
    rate_pps = peak / rtt_s * rng.uniform(0.9, 3)
    spread = rng.choice([0.0, 0.1, 0.3])
    times, now, epoch, maximum, total = [], 0.0, 0.0, peak, 0
    while now < 60 and total < PACKETS_MAX:
        until_peak = np.cbrt(maximum * 0.3 / 0.4)
        window = 0.4 * (now - epoch - until_peak) ** 3 + maximum
        if window > peak * rng.uniform(0.9, 1.1) and now > epoch:
            epoch, maximum = now, window
            window *= 0.7
        count = max(1, int(window))
        times.append(burst(now, count, rate_pps) + rng.uniform(0, spread * rtt_s, count))
        now += max(rtt_s, count / rate_pps)
        total += count
    return _full(np.concatenate(times))


def request_response(rng: Generator) -> tuple[Times, Sizes]:
    """Answers to requests: exponential thinking time, log-normal sizes, at the link's rate."""
    think_s = log_uniform(rng, 0.03, 3)
    mean_bytes, sigma = log_uniform(rng, 300, 1e6), rng.uniform(0.1, 1.8)
    rate_pps = log_uniform(rng, 2e6, 1e9) / 8 / FULL_BYTES
    times: list[Seconds] = []
    sizes: list[Seconds] = []
    now = 0.0
    while now < 60 and len(times) < 3000:
        total = mean_bytes * rng.lognormal(-sigma * sigma / 2, sigma)
        count = int(np.clip(np.ceil(total / FULL_BYTES), 1, 5000))
        times.append(burst(now, count, rate_pps))
        last = np.clip(total - (count - 1) * FULL_BYTES, 54, FULL_BYTES)
        sizes.append(np.append(np.full(count - 1, FULL_BYTES), last))
        now += count / rate_pps + rng.exponential(think_s)
    return finish(np.concatenate(times), np.concatenate(sizes))


STEADY: dict[str, Callable[[Generator], tuple[Times, Sizes]]] = {
    "cbr": cbr,
    "cbr-exact": cbr_exact,
    "poisson": poisson,
    "pareto-on-off": pareto_on_off,
    "video-frames": video,
    "slow-start-ramp": slow_start,
    "cubic-sawtooth": cubic,
    "request-response": request_response,
}
"""Name of the kind -> how a flow of it is made."""

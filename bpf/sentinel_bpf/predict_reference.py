"""The predictor in Python integers: sentinel_predict.h and what it includes, bit for bit.

For tests, and for reading what the kernel does without C. Names follow the headers, which also
give the theory and the sources. Python integers do not wrap: the values are bounded by the
same saturations as in C, and the counters that do wrap are masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sentinel_bpf import predict_abi as abi
from sentinel_bpf.predict_abi import Burst, Expert, PacketExpert

MASK32 = 2**32 - 1
MASK64 = 2**64 - 1
FAST_SHIFT = 2
SLOW_SHIFT = 5
HOLT_LEVEL_SHIFT = 2
HOLT_TREND_SHIFT = 4
HOLT_DAMP_SHIFT = 3
LMS_SHIFT = 12
LMS_STEP = 16
LMS_WEIGHT_MAX = 8192
ERROR_SHIFT = 6
MARGIN_SHIFT = 4
GUARD_SHIFT = 5
TRUST_SHIFT = 6
FAVOUR_SHIFT = 4
SUM_MAX = 0x7FFFFFFF
NETWORK_INPUT_BITS = 20
NETWORK_INPUT_STEP = 6
NETWORK_SHIFT = abi.NETWORK_HIDDEN_SHIFT + abi.NETWORK_OUTPUT_SHIFT
SIZE_MAX = 0xFFFF
GAP_MEAN_SHIFT = 3
MEDIAN_SHIFT = 4
PACKET_ERROR_SHIFT = 4
HASH = 0x9E3779B97F4A7C15
SAMPLE_SHIFT = 61
FACTORS_Q16 = (65536, 73728, 81920, 98304)
"""pattern_factor by Burst, in 1/65536."""


@dataclass(frozen=True, slots=True)
class Network:
    """The weights of struct sentinel_model, hidden ones with their sign."""

    hidden: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    direct: tuple[int, ...]
    interval_shift: int = abi.SHIFT_DEFAULT

    def predict(self, inputs: Sequence[int]) -> int:
        """sentinel_network(): bytes."""
        large = max(inputs).bit_length() - NETWORK_INPUT_BITS
        shift = NETWORK_INPUT_STEP * ((large > 0) + (large > NETWORK_INPUT_STEP))
        values = [value >> shift for value in inputs]
        total = sum(w * x for w, x in zip(self.direct, values, strict=True))
        total = (total << abi.NETWORK_HIDDEN_SHIFT) + (1 << (NETWORK_SHIFT - 1))
        for row, weight in zip(self.hidden, self.output, strict=True):
            total += weight * max(sum(w * x for w, x in zip(row, values, strict=True)), 0)
        return saturate((total << shift) >> NETWORK_SHIFT)


def saturate(value: int) -> int:
    """sentinel_saturate_bytes()."""
    return min(max(value, 0), abi.BYTES_MAX)


def step(difference: int, shift: int) -> int:
    """sentinel_step(): difference / 2^shift, away from zero."""
    return (difference >> shift) + (difference > 0)


def direction(value: int) -> int:
    """sentinel_direction(): -1, 0 or 1."""
    return (value > 0) - (value < 0)


def mean(previous: int, value: int, shift: int) -> int:
    """sentinel_mean_u32(): the exponentially weighted mean after one more value."""
    return previous + step(value - previous, shift)


def median(previous: int, value: int) -> int:
    """sentinel_median(): a step towards the value, of at most 1/16."""
    limit = (previous >> MEDIAN_SHIFT) + 1
    return previous + max(-limit, min(limit, value - previous))


def damped(trend: int) -> int:
    """sentinel_damped()."""
    return trend - (trend >> HOLT_DAMP_SHIFT)


def burst_of(size: int, slow_mean: int) -> Burst:
    """sentinel_burst_of(): how far `size` bytes exceed the mean."""
    for burst, eighths in ((Burst.STEADY, 9), (Burst.VARYING, 12), (Burst.BURSTY, 16)):
        if size * 8 <= slow_mean * eighths:
            return burst
    return Burst.PEAK


def _zeros(count: int) -> list[int]:
    return [0] * count


@dataclass(slots=True)
class PredictState:
    """struct sentinel_predict; names and units as there."""

    interval_start_ns: int = 0
    interval_bytes: int = 0
    last_offset_ns: int = 0
    gap_last_ns: int = 0
    gap_mean_ns: int = 0
    gap_median_ns: int = 0
    size_last: int = 0
    size_median: int = 0
    expert_bytes: list[int] = field(default_factory=lambda: _zeros(len(Expert)))
    history: list[int] = field(default_factory=lambda: _zeros(abi.LAGS - 1))
    holt_trend: int = 0
    lms_weight: list[int] = field(default_factory=lambda: _zeros(abi.LAGS))
    predicted_bytes: int = 0
    intervals: int = 0
    burst_hits: int = 0
    burst_exceeded: int = 0
    leader: int = 0
    burst_class: int = 0
    asleep: int = 0
    error_shift: int = 0
    recent_error: list[int] = field(default_factory=lambda: _zeros(len(Expert)))
    error_sum: list[int] = field(default_factory=lambda: _zeros(len(Expert)))
    leader_error_sum: int = 0
    gap_recent_ns: list[int] = field(default_factory=lambda: _zeros(len(PacketExpert)))
    size_recent: list[int] = field(default_factory=lambda: _zeros(2))
    gap_error_sum: list[int] = field(default_factory=lambda: _zeros(2))
    size_error_sum: list[int] = field(default_factory=lambda: _zeros(2))
    gap_shift: int = 0
    size_shift: int = 0

    def packet(self, network: Network | None, now_ns: int, size_bytes: int) -> None:
        """sentinel_predict_packet()."""
        size = min(size_bytes, SIZE_MAX)
        if not size:
            return
        if not self.size_last:
            self.interval_start_ns = now_ns
            self.interval_bytes = saturate(size_bytes)
            self.size_last = self.size_median = size
            return
        elapsed_ns = (now_ns - self.interval_start_ns) & MASK64
        if elapsed_ns >= 2**63 or elapsed_ns < self.last_offset_ns:
            elapsed_ns = self.last_offset_ns
        now_ns = (self.interval_start_ns + elapsed_ns) & MASK64
        self._observe_packet(elapsed_ns - self.last_offset_ns, size, now_ns)
        total = self.interval_bytes
        shift = network.interval_shift if network else abi.SHIFT_DEFAULT
        count = elapsed_ns >> shift
        if count:
            self.close_all(network, total, count)
            self.interval_start_ns = (self.interval_start_ns + (count << shift)) & MASK64
            elapsed_ns -= count << shift
            total = 0
        self.last_offset_ns = elapsed_ns
        self.interval_bytes = saturate(total + size_bytes)

    @property
    def pattern_factor_q16(self) -> int:
        """sentinel_pattern_factor_q16(): 65536 is 1.0."""
        return FACTORS_Q16[self.burst_class]

    @property
    def predicted_gap_ns(self) -> int:
        """sentinel_predicted_gap_ns()."""
        last, middle, average = self.gap_recent_ns
        if middle < last and middle <= average:
            return self.gap_median_ns
        return self.gap_mean_ns if average < last else self.gap_last_ns

    @property
    def predicted_size(self) -> int:
        """sentinel_predicted_size(): bytes."""
        last, middle = self.size_recent
        return self.size_median if middle < last else self.size_last

    def _observe_packet(self, gap_ns: int, size: int, now_ns: int) -> None:
        gap = min(gap_ns, MASK32)
        if not self.gap_mean_ns:
            self.gap_mean_ns = self.gap_median_ns = gap
        else:
            if ((now_ns * HASH) & MASK64) >> SAMPLE_SHIFT == 0:
                self._score_packet(gap, size)
            self.gap_mean_ns = mean(self.gap_mean_ns, gap, GAP_MEAN_SHIFT)
            self.gap_median_ns = median(self.gap_median_ns, gap)
        self.gap_last_ns = gap
        self.size_median = median(self.size_median, size)
        self.size_last = size

    def _score_packet(self, gap: int, size: int) -> None:
        last, size_last = abs(self.gap_last_ns - gap), abs(self.size_last - size)
        self.gap_shift = _add_pair(
            self.gap_error_sum, self.gap_shift, abs(self.predicted_gap_ns - gap) >> 1, last >> 1
        )
        self.size_shift = _add_pair(
            self.size_error_sum, self.size_shift, abs(self.predicted_size - size), size_last
        )
        gap_errors = (last, abs(self.gap_median_ns - gap), abs(self.gap_mean_ns - gap))
        size_errors = (size_last, abs(self.size_median - size))
        for index, error in enumerate(gap_errors):
            self.gap_recent_ns[index] = mean(self.gap_recent_ns[index], error, PACKET_ERROR_SHIFT)
        for index, error in enumerate(size_errors):
            self.size_recent[index] = mean(self.size_recent[index], error, PACKET_ERROR_SHIFT)

    def close_all(self, network: Network | None, size: int, count: int) -> None:
        """sentinel_close_all()."""
        for closed in range(1, count + 1):
            if self.close(network, 0 if closed > 1 else size):
                self.sleep(count - closed)
                return

    def sleep(self, count: int) -> None:
        """sentinel_sleep()."""
        moved = min(count, abi.LAGS - 1)
        self.history = (_zeros(moved) + self.history)[: abi.LAGS - 1]
        self.intervals = (self.intervals + count) & MASK32
        self.asleep = 1
        self.predicted_bytes = 0
        self.burst_class = Burst.STEADY

    def close(self, network: Network | None, size: int) -> bool:
        """sentinel_close(): an interval of `size` bytes; whether the flow sleeps now."""
        if self.intervals:
            self._score(size)
            self._learn(size)
        else:
            self.history = [size] * (abi.LAGS - 1)
            self.expert_bytes = [size] * len(Expert)
            self.lms_weight[0] = 1 << LMS_SHIFT
            self.leader = Expert.NETWORK if network else Expert.LAST
        self.intervals = (self.intervals + 1) & MASK32
        self.asleep = 0
        if not size and sum(map(bool, self.history)) <= 1:
            self.sleep(0)
            return True
        mean = self.expert_bytes[Expert.SLOW]
        total = sum(w * (x - mean) for w, x in zip(self.lms_weight, self.lags, strict=True))
        self.expert_bytes[Expert.LMS] = saturate(mean + (total >> LMS_SHIFT))
        last = self.expert_bytes[Expert.LAST]
        self.expert_bytes[Expert.NETWORK] = network.predict(self.inputs) if network else last
        self._choose(network is not None)
        return False

    @property
    def lags(self) -> list[int]:
        """sentinel_lag() of each: bytes of the latest intervals, latest first."""
        return [self.expert_bytes[Expert.LAST], *self.history]

    @property
    def inputs(self) -> list[int]:
        """sentinel_network_inputs()."""
        predicted = [self.expert_bytes[e] for e in (Expert.FAST, Expert.SLOW, Expert.LMS)]
        errors = [self.recent_error[e] for e in (Expert.SLOW, Expert.LMS)]
        return [*self.lags[:3], *predicted, *errors]

    def _score(self, size: int) -> None:
        burst = burst_of(size, self.expert_bytes[Expert.SLOW])
        self.leader_error_sum += abs(self.predicted_bytes - size) >> self.error_shift
        largest = self.leader_error_sum
        for index, predicted in enumerate(self.expert_bytes):
            error = abs((0 if self.asleep else predicted) - size)
            self.recent_error[index] = mean(self.recent_error[index], error, ERROR_SHIFT)
            self.error_sum[index] += error >> self.error_shift
            largest = max(largest, self.error_sum[index])
        if largest > SUM_MAX:
            self.leader_error_sum >>= 1
            self.error_sum = [value >> 1 for value in self.error_sum]
            self.error_shift += self.error_shift < 31
        self.burst_hits = (self.burst_hits + (burst == self.burst_class)) & MASK32
        self.burst_exceeded = (self.burst_exceeded + (burst > self.burst_class)) & MASK32

    def _learn(self, size: int) -> None:
        expert = self.expert_bytes
        if not self.asleep:
            self._learn_lms(size)
        error = size - expert[Expert.HOLT]
        level = expert[Expert.HOLT] + step(error, HOLT_LEVEL_SHIFT)
        self.holt_trend = damped(self.holt_trend) + step(error, HOLT_TREND_SHIFT)
        expert[Expert.HOLT] = saturate(level + damped(self.holt_trend))
        expert[Expert.FAST] = mean(expert[Expert.FAST], size, FAST_SHIFT)
        expert[Expert.SLOW] = mean(expert[Expert.SLOW], size, SLOW_SHIFT)
        self.history = self.lags[:-1]
        expert[Expert.LAST] = size

    def _learn_lms(self, size: int) -> None:
        up = direction(size - self.expert_bytes[Expert.LMS])
        for index, value in enumerate(self.lags):
            with_mean = direction(value - self.expert_bytes[Expert.SLOW])
            weight = self.lms_weight[index] + LMS_STEP * up * with_mean
            if abs(weight) <= LMS_WEIGHT_MAX:
                self.lms_weight[index] = weight

    def _choose(self, has_network: bool) -> None:
        last, network = self.error_sum[Expert.LAST], self.error_sum[Expert.NETWORK]
        errors = list(self.recent_error)
        if has_network:
            errors[Expert.NETWORK] -= errors[Expert.NETWORK] >> FAVOUR_SHIFT
        best = min(range(len(Expert)), key=lambda index: errors[index])
        least = errors[best]
        if self.leader_error_sum > last + (last >> GUARD_SHIFT):
            trusted = network + (network >> TRUST_SHIFT) < last
            self.leader = Expert.NETWORK if trusted else Expert.LAST
        elif least + (least >> MARGIN_SHIFT) < self.recent_error[self.leader]:
            self.leader = best
        self.predicted_bytes = self.expert_bytes[self.leader]
        expected = saturate(self.predicted_bytes + self.recent_error[self.leader])
        self.burst_class = burst_of(expected, self.expert_bytes[Expert.SLOW])


def _add_pair(sums: list[int], shift: int, leader: int, last: int) -> int:
    """sentinel_add_pair(): changes `sums`, returns the new shift."""
    sums[0] += leader >> shift
    sums[1] += last >> shift
    if max(sums) <= SUM_MAX:
        return shift
    sums[0] >>= 1
    sums[1] >>= 1
    return shift + (shift < 31)

"""A token bucket: how many bytes may pass now, and when the next may."""

from __future__ import annotations

NS_PER_S = 1_000_000_000


class TokenBucket:
    """Limits to `rate_bps` bits per second with bursts of at most `burst_bytes`; starts full."""

    def __init__(self, rate_bps: int, burst_bytes: int, now_ns: int) -> None:
        if rate_bps <= 0 or burst_bytes <= 0:
            raise ValueError(
                f"rate_bps and burst_bytes must be positive, got {rate_bps}, {burst_bytes}"
            )
        self._rate_bps = rate_bps
        # Tokens in units of bit x ns / s, so that integer arithmetic loses nothing.
        self._per_byte = 8 * NS_PER_S
        self._full = burst_bytes * self._per_byte
        self._tokens = self._full
        self._at_ns = now_ns

    def available_bytes(self, now_ns: int) -> int:
        """Whole bytes that may pass at `now_ns`."""
        if now_ns > self._at_ns:
            gained = (now_ns - self._at_ns) * self._rate_bps
            self._tokens = min(self._full, self._tokens + gained)
            self._at_ns = now_ns
        return self._tokens // self._per_byte

    def take(self, count_bytes: int) -> None:
        """Spend tokens; at most what `available_bytes` gave."""
        cost = count_bytes * self._per_byte
        if count_bytes < 0 or cost > self._tokens:
            raise ValueError(f"cannot take {count_bytes} bytes from the bucket")
        self._tokens -= cost

    def ready_at_ns(self, count_bytes: int) -> int:
        """The earliest time at which `count_bytes` (at most one burst) are available."""
        missing = min(count_bytes * self._per_byte, self._full) - self._tokens
        if missing <= 0:
            return self._at_ns
        return self._at_ns - (-missing // self._rate_bps)

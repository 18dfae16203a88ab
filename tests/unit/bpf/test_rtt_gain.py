"""What one RTT sample counts (sentinel_rtt.h, its Python reference)."""

from hypothesis import given
from hypothesis import strategies as st

from sentinel_bpf.reference.rtt import gain_x8_of, smooth

NS = st.integers(1, 2**32 - 1)


@given(st.integers(0, 2**31))
def test_a_sample_forgets_what_so_many_acknowledgements_would_have(sent_behind_bytes: int) -> None:
    acknowledgements = 1 + sent_behind_bytes // 4096
    forgotten = 1 - (7 / 8) ** acknowledgements
    assert abs(gain_x8_of(sent_behind_bytes) / 8 - forgotten) < 0.2


def test_a_window_of_one_segment_has_the_gain_of_rfc_6298() -> None:
    assert gain_x8_of(0) == gain_x8_of(1448) == 1


def test_a_long_train_follows_the_latest_sample_alone() -> None:
    assert smooth(100_000 << 3, 250_000, gain_x8_of(1 << 20)) == 250_000 << 3


@given(NS, NS, st.integers(0, 2**31))
def test_an_average_lies_between_the_old_one_and_the_sample(
    old_ns: int, rtt_ns: int, behind: int
) -> None:
    made_ns = smooth(old_ns << 3, rtt_ns, gain_x8_of(behind)) >> 3
    assert min(old_ns, rtt_ns) <= made_ns <= max(old_ns, rtt_ns)

"""The overlays against figures of the literature."""

from __future__ import annotations

import pytest
from tests.unit.evidence.documents import result, run

from sentinel_sim.evidence import overlays
from sentinel_sim.evidence.pairing import arm_ratios
from sentinel_sim.evidence.published import points

MSS = 1448


def test_window_law() -> None:
    # RFC 2488, section 4.2: 65,535 bytes over 560 ms are 117,027 bytes per second.
    assert overlays.window_law_bps(65_535, 0.560) / 8 == pytest.approx(117_027, rel=1e-5)
    assert overlays.window_law_bps(overlays.STOCK_WINDOW_BYTES, 0.1) == pytest.approx(
        252e6, rel=2e-3
    )
    for rtt, gbps in ((0.106, 4.91), (0.188, 2.77), (0.244, 2.13)):  # ESnet 2021, 65 MB
        assert overlays.window_law_bps(65e6, rtt) == pytest.approx(gbps * 1e9, rel=5e-3)


@pytest.mark.parametrize(
    ("loss", "rtt_s", "segments"),
    [  # RFC 9438, tables 1 and 2
        (1e-2, 0.1, 12),
        (1e-3, 0.1, 38),
        (1e-4, 0.1, 187),
        (1e-5, 0.1, 1054),
        (1e-6, 0.1, 5926),
        (1e-7, 0.1, 33325),
        (1e-8, 0.1, 187400),
        (1e-4, 0.01, 120),
        (1e-6, 0.01, 1200),
        (1e-8, 0.01, 33325),
    ],
)
def test_cubics_window(loss: float, rtt_s: float, segments: float) -> None:
    assert overlays.cubic_window_segments(rtt_s, loss) == pytest.approx(segments, rel=0.01)


@pytest.mark.parametrize(
    ("km", "loss", "reno_mbps", "cubic_mbps"),
    [(5000, 1e-5, 88, 145), (10000, 1e-4, 14, 22), (20000, 1e-3, 2.2, 3.2), (100, 1e-2, 139, 139)],
)
def test_predicted_rates(km: float, loss: float, reno_mbps: float, cubic_mbps: float) -> None:
    rtt_s = 2 * km / 200_000
    reno = overlays.mathis_bps(MSS, rtt_s, loss, c=1.2)
    assert reno == pytest.approx(reno_mbps * 1e6, rel=0.02)
    assert overlays.cubic_bps(MSS, rtt_s, loss) == pytest.approx(cubic_mbps * 1e6, rel=0.03)


@pytest.mark.parametrize(
    ("loss", "packets_per_ack", "mbps"),
    [(1e-4, 1, 14.17), (1e-4, 2, 10.02), (1e-3, 1, 4.45), (1e-2, 1, 1.30), (1e-2, 2, 0.92)],
)
def test_pftk(loss: float, packets_per_ack: int, mbps: float) -> None:
    found = overlays.pftk_bps(MSS, 0.1, loss, packets_per_ack)
    assert found == pytest.approx(mbps * 1e6, rel=0.005)


def test_mathis_is_the_limit_of_pftk_for_rare_loss() -> None:
    assert overlays.pftk_bps(MSS, 0.1, 1e-9) == pytest.approx(
        overlays.mathis_bps(MSS, 0.1, 1e-9), rel=1e-3
    )


def test_bbr_and_the_cap() -> None:
    assert overlays.bbr_bps(100e6, 0.05) == pytest.approx(95e6)
    assert overlays.bbr_bps(100e6, 0.3) is None
    assert overlays.goodput_cap_bps(1e9) == pytest.approx(1e9 * 1448 / 1514)


@pytest.mark.parametrize(
    ("mb", "share", "with_handshake"),
    [(0.1, 0.074, 0.026), (1, 0.444, 0.211), (10, 0.889, 0.727), (100, 0.988, 0.964)],
)
def test_bound_of_a_transfer(mb: float, share: float, with_handshake: float) -> None:
    found = overlays.transfer_bound_bps(mb * 1e6, 100e6, 0.1)
    assert found / 100e6 == pytest.approx(share, abs=1e-3)
    found = overlays.transfer_bound_bps(mb * 1e6, 100e6, 0.1, 0.2)
    assert found / 100e6 == pytest.approx(with_handshake, abs=1e-3)


def test_published_points_lie_on_the_window_law_where_they_are_said_to() -> None:
    cubic = {one.label: one for one in points() if one.series == "ESnet 2021 CUBIC"}
    assert len(cubic) == 11
    windows = [
        one.goodput_bps * one.rtt_s / 8
        for label, one in cubic.items()
        if any(name in label for name in ("Ljubljana", "Tokyo", "Sydney"))
    ]
    assert windows == pytest.approx([65.5e6] * 3, rel=0.021)
    assert {one.exactness for one in points()} == {"measured", "by eye"}
    assert all(one.source for one in points())


def test_arms_are_compared_pair_by_pair() -> None:
    # The host slows down from repeat to repeat: each arm varies by half, their ratio not at all.
    runs = [
        run(arm, km, repeat, goodput_bps=factor * 1e6 * (10 - 2 * repeat))
        for arm, factor in (("tuned", 1.0), ("split", 1.5))
        for km in (100.0, 1000.0)
        for repeat in range(3)
    ]
    runs[0]["valid"] = False
    found = arm_ratios(result(runs))
    assert [(one.arm, one.rival, one.distance_km, one.pairs) for one in found] == [
        ("split", "tuned", 100.0, 2),
        ("split", "tuned", 1000.0, 3),
    ]
    for one in found:
        assert one.ratio == pytest.approx(1.5)
        assert one.ci95 == pytest.approx((1.5, 1.5))
    assert arm_ratios(result([])) == []

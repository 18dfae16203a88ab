"""Every claim that runs can show, in worlds where it is just false: how often is it said to hold?

Each world draws the runs of one experiment whose truth lies on the claim's limit at one point of
the sweep and well inside it at the other, which is the hardest case. Then something is wrong with
the runs, too: outliers, invalid runs that flatter, runs without a figure where it was bad.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from tests.unit.evidence.documents import result, run
from tests.unit.evidence.test_smoothing import chain

from sentinel_sim.evidence.counting import ENOUGH, SHARE_MIN
from sentinel_sim.evidence.judging import judge
from sentinel_sim.evidence.registry import BY_ID
from sentinel_sim.evidence.smoothing import LIMIT as SMOOTHING_LIMIT
from sentinel_sim.evidence.statistics import ERROR
from sentinel_sim.evidence.synchronisation import MICROSECOND_LIMIT_S
from sentinel_sim.evidence.throughput import LIMIT as CONSTANCY
from sentinel_sim.evidence.throughput import NAMED_KM
from sentinel_sim.evidence.verdict import Outcome, headline

TRIALS = 300
MOST_BY_CHANCE = int(stats.binom.ppf(0.999, TRIALS, ERROR))
"""What an error of exactly 1 % exceeds once in a thousand such series."""
REPEATS = 4
SD = 0.05

Random = np.random.Generator
Run = dict[str, Any]
Truth = Callable[[Random, float], Run]
"""What a run has whose figure is so many times its limit."""
Flaw = Callable[[Random, list[Run]], list[Run]]

RTT_S = 2 * 1000 * 1.8 / 200_000  # of the documents' 1,000 km


def confirmation(times: float) -> Run:
    return {
        "confirm_latency_s": {"p50": times * RTT_S, "p99": 3 * RTT_S},
        "delivered_latency_s": {"p50": RTT_S, "p99": 3 * RTT_S},
    }


SINGLE: dict[str, Truth] = {
    "local-confirm": lambda _, times: confirmation(times),
    "predicts-pattern": lambda _, times: {"fsu": {"mase": times}},
    "microsecond-sync": lambda _, times: {
        "sync": {"phase_error_s": {"p50": times * MICROSECOND_LIMIT_S, "p99": 1.0}}
    },
    "watchdog-phase": lambda _, times: {
        "sync": {"phase_error_s": {"p50": 0.0, "p99": times * RTT_S}}
    },
    "smooth-1.5N": lambda _, times: {
        "burstiness": chain(lambda n: float(min(SMOOTHING_LIMIT / times, 3.5) ** n), 10)
    },
}
"""Claims on a figure that may lie anywhere."""


def some_invalid(_: Random, runs: list[Run]) -> list[Run]:
    """More runs that would flatter, were they believed."""
    best = [{**one, "repeat": 9, "valid": False} for one in runs[:REPEATS]]
    return [*runs, *best]


def the_worst_have_no_figure(_: Random, runs: list[Run]) -> list[Run]:
    """The run that went worst broke off before it had any."""
    return [*runs[:-1], {**runs[-1], "fsu": None, "sync": None, "confirm_latency_s": None,
                         "burstiness": None}]  # fmt: skip


def the_worst_point_is_invalid(_: Random, runs: list[Run]) -> list[Run]:
    return [{**one, "valid": one["requested"]["rtt_s"] == RTT_S} for one in runs]


def outlier(random: Random) -> float:
    """One run in ten went half as badly as the others: an outlier on the claim's side."""
    return 0.5 if random.random() < 0.1 else 1.0


def single(random: Random, truth: Truth, times: float, spoilt: bool) -> list[Run]:
    """`times` at the far point, a fifth of that at the near one, worst runs last."""
    found = []
    for km, centre in ((1000.0, times / 5), (20000.0, times)):
        draws = random.normal(centre, SD * centre, REPEATS)
        if spoilt:
            draws *= [outlier(random) for _ in draws]
        for repeat, drawn in enumerate(sorted(draws)):
            one = run("fsu", km, repeat, **truth(random, float(drawn)))
            if km != 1000.0:  # the limits above are those of one RTT
                one["requested"] = {**one["requested"], "rtt_s": RTT_S * 1.0000001}
            found.append(one)
    return found


def holds(claim: str, make: Callable[[Random], list[Run]], trials: int = TRIALS) -> int:
    """In how many of so many experiments the claim is said to hold."""
    random = np.random.default_rng(sum(map(ord, claim)))
    return sum(
        headline(BY_ID[claim], judge(result(make(random)))).verdict is Outcome.HOLDS
        for _ in range(trials)
    )


@pytest.mark.parametrize("claim", sorted(SINGLE))
def test_at_its_limit_a_claim_is_said_to_hold_in_one_of_a_hundred_at_most(claim: str) -> None:
    assert holds(claim, lambda r: single(r, SINGLE[claim], 1.0, False)) <= MOST_BY_CHANCE


@pytest.mark.parametrize("claim", sorted(SINGLE))
def test_outliers_do_not_make_it_hold(claim: str) -> None:
    assert holds(claim, lambda r: single(r, SINGLE[claim], 1.06, True), 100) <= 4


@pytest.mark.parametrize("flaw", [the_worst_have_no_figure, the_worst_point_is_invalid])
@pytest.mark.parametrize("claim", sorted(SINGLE))
def test_what_was_left_out_leaves_it_undecided_however_good_the_rest(
    claim: str, flaw: Flaw
) -> None:
    def good(random: Random) -> list[Run]:
        return single(random, SINGLE[claim], 0.4, False)

    assert holds(claim, good, 20) == 20
    assert holds(claim, lambda r: flaw(r, good(r)), 20) == 0


@pytest.mark.parametrize("claim", sorted(SINGLE))
def test_invalid_runs_that_flatter_change_nothing(claim: str) -> None:
    def made(random: Random) -> list[Run]:
        return some_invalid(random, single(random, SINGLE[claim], 1.0, False))

    assert holds(claim, made, 100) <= 4


@pytest.mark.parametrize("claim", sorted(SINGLE))
def test_a_claim_that_is_true_by_far_is_found_true(claim: str) -> None:
    assert holds(claim, lambda r: single(r, SINGLE[claim], 0.6, False), 50) >= 45


def counted(random: Random, share: float, of: int) -> dict[str, list[Run]]:
    """Runs in which each of so many was right with this probability, by claim."""
    right = int(random.binomial(of, share))
    lead = {"p50": 0.01, "least": 0.001, "n": of - of // 2, "share_ahead": 1.0}
    worst = {**lead, "least": 0.001 if right == of else -0.001, "n": of // 2, "share_ahead": None}
    incident = {"fault": "daemon-dead", "target": "x", "time_to_detect_ns": 1}
    repairs = [{**incident, "repaired": n < right, "time_to_repair_ns": 1} for n in range(of)]
    return {
        "buffer-before": [
            run("fsu", 1000.0, n, lead_time_s=one)
            for n, one in enumerate([lead, worst] if of > 1 else [{**worst, "n": 1}])
        ],
        "receiver-validates": [
            run("fsu", 1000.0, n, sync={"final_ok": n < right, "checks": 1}) for n in range(of)
        ],
        "self-repair": [run("fsu", 1000.0, repairs=repairs)],
        "synced-not-retransmitted": [
            run("fsu", wires=[{"loss_dropped": of}], retransmitted_bytes=1448 * (of - right))
        ],
    }


COUNTED = ("buffer-before", "receiver-validates", "self-repair", "synced-not-retransmitted")


@pytest.mark.parametrize("claim", COUNTED)
@pytest.mark.parametrize("of", [1, 3, ENOUGH - 1, ENOUGH, 100])
def test_what_is_right_nine_times_of_ten_is_said_to_be_so_in_one_of_a_hundred(
    claim: str, of: int
) -> None:
    trials = 100 if of < ENOUGH else 200
    most = 0 if of < ENOUGH else stats.binom.ppf(0.999, trials, ERROR)
    assert holds(claim, lambda r: counted(r, SHARE_MIN, of)[claim], trials) <= most


@pytest.mark.parametrize("claim", COUNTED)
def test_what_is_always_right_holds_once_there_are_enough(claim: str) -> None:
    assert holds(claim, lambda r: counted(r, 1.0, ENOUGH)[claim], 3) == 3


def test_the_interval_of_a_count_has_the_stated_error() -> None:
    assert SHARE_MIN**ENOUGH <= ERROR < SHARE_MIN ** (ENOUGH - 1)


def distances(random: Random, at_far: float, sd: float = 0.01) -> list[Run]:
    """Five distances, the goodput of the last so many times the others', worst run last."""
    found = []
    for km in NAMED_KM:
        centre = 90e6 * (at_far if km == NAMED_KM[-1] else 1.0)
        draws = sorted(random.lognormal(0.0, sd, REPEATS), reverse=True)
        found += [run("fsu", km, n, goodput_bps=centre * one) for n, one in enumerate(draws)]
    return found


def test_goodput_that_is_not_quite_constant_is_rarely_said_to_be() -> None:
    assert holds("throughput-constant", lambda r: distances(r, 1 / CONSTANCY)) <= MOST_BY_CHANCE
    assert holds("throughput-constant", lambda r: distances(r, 1.0), 50) == 50


@pytest.mark.parametrize(
    "change",
    [{"goodput_bps": 0.0}, {"goodput_bps": None}, {"offloads_sha256": "other"}],
    ids=["delivered nothing", "no goodput", "other offloads"],
)
def test_a_run_that_delivered_nothing_is_not_left_out_of_a_constant_goodput(
    change: dict[str, Any],
) -> None:
    def made(random: Random) -> list[Run]:
        runs = distances(random, 1.0)
        return [*runs[:-1], {**runs[-1], **change}]

    assert holds("throughput-constant", made, 10) == 0


def test_no_latency_below_light_is_ever_said_to_hold_where_delivery_takes_as_long() -> None:
    def made(random: Random) -> list[Run]:
        runs = single(random, SINGLE["local-confirm"], 0.1, False)
        for one in runs:
            one["delivered_latency_s"] = {"p50": RTT_S / 2 * random.normal(1.0, SD), "p99": 1.0}
        return runs

    assert holds("latency-below-rtt", made) <= MOST_BY_CHANCE


def test_control_bytes_that_are_none_are_no_metadata() -> None:
    none = [run("fsu", 1000.0, n, control_bytes_per_data_byte=0.0) for n in range(4)]
    assert holds("metadata-with-data", lambda _: none, 1) == 0

"""The planner: its choice is brute force's, more relays never hurt, the formulas are the RFC's."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.cli.world import World

from sentinel_sim.backends.simulated.placements import steady_goodput_bps
from sentinel_sim.errors import TopologyError
from sentinel_sim.plan.model import LinkPlan
from sentinel_sim.planner import placement, spacing
from sentinel_sim.planner.forecast import forecast, offer_of
from sentinel_sim.planner.network import Offer
from sentinel_sim.planner.placement import Method, brute_force, is_sound, place, value_bps
from sentinel_sim.planner.response import Limit, Loop, mean_window, predict
from sentinel_sim.planner.segmented import network_spec
from sentinel_sim.topology.reader import load

TOPOLOGIES = Path(__file__).parents[3] / "topologies"
MS = 1_000_000


def link(a: str, b: str, delay_ms: float = 5.0, loss: float = 1e-3, **more: int) -> LinkPlan:
    given_ = {"rate_bps": 1_000_000_000, "queue_bytes": 500_000, "cost": 1, **more}
    return LinkPlan(
        name=f"{a}--{b}", a=a, b=b, distance_km=None, delay_one_way_ns=round(delay_ms * MS),
        loss=loss, jitter_ns=0, reorder=False, mtu=1500, **given_,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "rtt_s", "segments"),
    [(1e-2, 0.1, 12), (1e-3, 0.1, 38), (1e-4, 0.1, 187), (1e-5, 0.1, 1054), (1e-6, 0.1, 5926),
     (1e-4, 0.01, 120), (1e-6, 0.01, 1200), (1e-7, 0.01, 5926)],
)  # fmt: skip
def test_cubic_is_table_1_and_2_of_rfc_9438(loss: float, rtt_s: float, segments: int) -> None:
    assert mean_window("cubic", loss, rtt_s) == pytest.approx(segments, abs=0.6, rel=2e-3)


def test_the_least_limit_counts_and_is_named() -> None:
    loop = Loop(100 * MS, 0.0, 10**9, 1500)
    assert predict(loop, "cubic").limit is Limit.RATE
    assert predict(loop, "cubic").goodput_bps == pytest.approx(1e9 * 1448 / 1514)
    assert predict(loop, "cubic", 65_535).limit is Limit.WINDOW
    assert predict(loop, "cubic", 65_535).goodput_bps == pytest.approx(65_535 * 80)
    lossy = Loop(100 * MS, 1e-2, 10**9, 1500)
    reno = 8 * 1448 * math.sqrt(1.5 / 1e-2) / 0.1
    assert predict(lossy, "reno").goodput_bps == pytest.approx(reno)
    assert predict(lossy, "reno").limit is Limit.LOSS
    assert predict(lossy, "bbr").goodput_bps == pytest.approx(0.99e9 * 1448 / 1514)
    assert predict(Loop(0, 0.1, 10**9, 1500), "reno").limit is Limit.RATE
    with pytest.raises(TopologyError, match="vegas"):
        predict(loop, "vegas")


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    """Connected, with stubs, detours and parallel links; small enough to try everything."""
    count = draw(st.integers(3, 6))
    names = [f"n{index}" for index in range(count)]
    joined = [(names[draw(st.integers(0, i - 1))], names[i]) for i in range(1, count)]
    pairs = list(itertools.combinations(names, 2))
    joined += draw(st.lists(st.sampled_from(pairs), max_size=4))
    links = []
    for index, (a, b) in enumerate(joined):
        one = link(
            a, b,
            delay_ms=draw(st.sampled_from([0.5, 1.0, 5.0, 20.0, 60.0])),
            loss=draw(st.sampled_from([0.0, 1e-5, 1e-3, 2e-2])),
            rate_bps=draw(st.sampled_from([10**7, 10**8, 10**9])),
            cost=draw(st.integers(1, 4)),
        )  # fmt: skip
        links.append(
            LinkPlan(**{s: getattr(one, s) for s in one.__dataclass_fields__ if s != "name"},
                     name=f"{index}")
        )  # fmt: skip
    control = draw(st.sampled_from(["reno", "cubic", "bbr"]))
    return Offer(tuple(links), names[0], names[-1], control)


@given(offer=offers(), most=st.integers(0, 3))
@settings(deadline=None, max_examples=150)
def test_the_choice_is_that_of_brute_force(offer: Offer, most: int) -> None:
    found = place(offer, most)
    assert found.optimal
    assert is_sound(offer, found.relays)
    assert len(found.relays) <= most
    best = brute_force(offer, most)
    assert value_bps(offer, found.relays) == value_bps(offer, best)
    assert found.relays == best


@given(offer=offers())
@settings(deadline=None, max_examples=60)
def test_more_relays_never_hurt_and_no_bound_is_exceeded(offer: Offer) -> None:
    values = [place(offer, most) for most in range(5)]
    assert all(b.goodput_bps >= a.goodput_bps for a, b in itertools.pairwise(values))
    assert all(one.goodput_bps <= one.bound_bps for one in values)


@given(offer=offers())
@settings(deadline=None, max_examples=60)
def test_the_heuristic_keeps_its_rules(offer: Offer) -> None:
    best = [brute_force(offer, most) for most in range(4)]
    chosen: tuple[str, ...] = ()
    for most in range(1, 4):
        chosen = placement._greedy(offer, most, chosen)
        assert is_sound(offer, chosen)
        assert len(chosen) <= most
        reached = value_bps(offer, chosen)
        assert value_bps(offer, ()) <= reached <= value_bps(offer, best[most])


def stub() -> Offer:
    """A relay in the middle only at the end of a stub, to which the way leads there and back."""
    links = (
        link("a", "x", 20.0, 1e-3), link("x", "b", 20.0, 1e-3), link("x", "s", 0.1, 0.0),
    )  # fmt: skip
    return Offer(links, "a", "b", "cubic")


def test_connections_do_not_share_a_link() -> None:
    assert place(stub(), 1).relays == ("x",)
    assert not is_sound(stub(), ("s",))
    assert not is_sound(stub(), ("x", "x"))


def test_where_the_relaxed_answer_shares_a_link_another_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placement, "_relaxed", lambda offer, most: (("s",), 1e12))
    found = place(stub(), 1)
    assert (found.relays, found.method) == (("x",), Method.ENUMERATED)
    monkeypatch.setattr(placement, "MOST_TRIED", 1)
    monkeypatch.setattr(
        placement, "_relaxed", lambda offer, most: (("s",), 1e12) if most else ((), 1e12)
    )
    found = place(stub(), 1)
    assert (found.relays, found.method, found.bound_bps) == (("x",), Method.GREEDY, 1e12)
    assert not found.optimal


def chain(hops: int, loss: float = 1e-3) -> Offer:
    names = [f"n{index:02}" for index in range(hops + 1)]
    links = tuple(link(a, b, loss=loss) for a, b in itertools.pairwise(names))
    return Offer(links, names[0], names[-1], "reno")


def test_equal_hops_gain_as_n_to_the_power_of_one_and_a_half() -> None:
    offer = chain(4, 1e-3)
    gain = place(offer, 3).goodput_bps / place(offer, 0).goodput_bps
    assert gain == pytest.approx(8.0, rel=0.01)
    assert place(offer, 3).relays == spacing.evenly(offer, 3) == ("n01", "n02", "n03")


def test_even_spacing_takes_what_there_is() -> None:
    offer = chain(8)
    assert spacing.evenly(offer, 1) == ("n04",)
    assert spacing.evenly(offer, 3) == ("n02", "n04", "n06")
    assert spacing.evenly(offer, 20) == tuple(f"n{index:02}" for index in range(1, 8))
    assert spacing.evenly(offer, 0) == ()


def test_fixed_spacing_is_flat_and_a_fixed_number_is_not() -> None:
    rows = spacing.line(Loop(100 * MS, 1e-2, 10**9, 1500), "reno", 3, None)
    at = {row.rtt_ns // MS: row for row in rows}
    assert at[100].fixed_spacing_bps == at[800].fixed_spacing_bps
    assert at[800].fixed_spacing == 31
    fall = at[100].fixed_number_bps / at[800].fixed_number_bps
    assert fall == pytest.approx(8**1.5, rel=0.05)


def test_endpoints_are_the_files_or_chosen() -> None:
    topology = load(TOPOLOGIES / "abilene.yaml")
    assert offer_of(topology, None, None).sender == "washington-dc"
    other = offer_of(topology, "chicago", "los-angeles")
    assert other.nodes_on("chicago", "los-angeles")[0] == "chicago"
    assert "seattle" in other.candidates
    for sender, receiver, words in (
        ("chicgo", None, "did you mean 'chicago'"),
        ("seattle", None, "must be two nodes"),
    ):
        with pytest.raises(TopologyError, match=words):
            offer_of(topology, sender, receiver)
    with pytest.raises(TopologyError, match="--intermediates"):
        forecast(other, 33)


@pytest.mark.parametrize("name", ["abilene", "nobel-eu"])
def test_the_packet_engine_agrees_on_shipped_networks(name: str) -> None:
    found = forecast(offer_of(load(TOPOLOGIES / f"{name}.yaml"), None, None), 2)
    duration_ns = 40_000 * MS
    for what in ("tuned", "split best"):
        row = found.row(what)
        spec = network_spec(found.offer, row.relays, stock=False, duration_ns=duration_ns, seed=3)
        ratio = steady_goodput_bps(spec, duration_ns) / row.goodput_bps
        assert 0.6 < ratio < 1.4  # one seed, 40 s: not the planner's exam, but its alarm


def test_the_verbs_answer_in_tables_and_json(tmp_path: Path) -> None:
    world = World(tmp_path)
    shown = world.call("plan", str(TOPOLOGIES / "nobel-eu.yaml"), "-n", "2", "--loss", "0.1 %")
    assert shown.exit_code == 0
    for words in ("split: best", "proven (exact)", "fixed spacing", "athens"):
        assert words in shown.stdout
    assert world.call("plan", str(TOPOLOGIES / "abilene.yaml"), "-n", "99").exit_code == 2
    assert world.call("plan", "absent.yaml", "-n", "1").exit_code == 2
    made = tmp_path / "made.yaml"
    source = tmp_path / "two.gml"
    source.write_text(
        "graph [\nnode [ id 0 label \"A\" ]\nnode [ id 1 label \"B\" ]\n"
        "edge [ source 0 target 1 length_km 500.0 ]\n]\n"
    )  # fmt: skip
    done = world.call("import", str(source), "--out", str(made), "--json")
    assert done.exit_code == 0
    assert '"schema": "sentinel-sim/import/1"' in done.stdout
    assert world.call("validate", str(made)).exit_code == 0
    again = world.call("import", str(source), "--out", str(made))
    assert again.exit_code == 2
    assert "--force" in again.stderr
    assert world.call("import", str(source), "--rate", "10").exit_code == 2

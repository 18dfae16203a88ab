"""The supervisor's mind: what it takes for broken, and what it asks for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentinel_node.core.health.repair import Fault, Incident, Perform, RepairRecord, Step
from sentinel_sim.faults.supervision import MS, Supervision, SupervisorSettings

OVER_X = ("s", "s--x", "x", "x--r", "r")
OVER_Y = ("s", "s--y", "y", "y--r", "r")
LINKS = ("s--x", "x--r", "s--y", "y--r")
SETTINGS = SupervisorSettings()


def watching(slack_ns: int = 0) -> Supervision:
    return Supervision(
        SETTINGS,
        ["s", "x", "y", "r"],
        dict.fromkeys(LINKS, slack_ns),
        {"path 0": [OVER_X, OVER_Y]},
        now_ns=0,
    )


def live(mind: Supervision, until_ns: int, *, without: frozenset[str] = frozenset()) -> list:
    """Everybody but `without` gives a sign every 10 ms; the effects."""
    effects: list = []
    for now_ns in range(0, until_ns + 1, 10 * MS):
        for node in {"s", "x", "y", "r"} - without:
            effects += mind.on_health(node, now_ns=now_ns)
        for link in set(LINKS) - without:
            mind.on_echo(link, now_ns=now_ns)
        effects += mind.on_timer(now_ns)
    return effects


def test_nobody_is_suspected_while_all_answer() -> None:
    assert live(watching(), 3000 * MS) == []


def test_a_death_is_repaired_step_by_step_and_then_watched_again() -> None:
    mind = watching()
    mind.on_death("x", now_ns=MS)
    mind.on_death("x", now_ns=2 * MS)
    (restart,) = mind.on_timer(3 * MS)
    assert restart == Perform(1, Incident(Fault.DAEMON_DEAD, "x"), Step.RESTART_DAEMON, 1)
    assert mind.on_done(1, ok=True, now_ns=50 * MS) == ()
    (reconnect,) = mind.on_timer(50 * MS)
    assert reconnect.step is Step.RECONNECT
    (record,) = mind.on_done(2, ok=True, now_ns=60 * MS)
    assert isinstance(record, RepairRecord)
    assert (record.repaired, record.time_to_detect_ns, record.time_to_repair_ns) == (
        True,
        0,
        59 * MS,
    )
    mind.on_death("x", now_ns=70 * MS)
    assert mind.open == (Incident(Fault.DAEMON_DEAD, "x"),)


def test_silence_freezes_and_an_answer_before_the_kill_thaws() -> None:
    mind = watching()
    deadline_ns = SETTINGS.health_interval_ns * SETTINGS.health_misses
    for link in LINKS:
        mind.on_echo(link, now_ns=deadline_ns)
    for node in "sxr":
        mind.on_health(node, now_ns=deadline_ns)
    (kill,) = mind.on_timer(deadline_ns)
    assert kill.incident == Incident(Fault.DAEMON_FROZEN, "y")
    assert mind.on_health("y", now_ns=deadline_ns + 1) == (), "it is being killed already"
    mind.on_death("y", now_ns=deadline_ns + 2)
    assert len(mind.open) == 1, "our own killing is no new incident"


def test_who_is_stopped_is_frozen_long_before_silence_would_tell() -> None:
    mind = watching()
    looks = range(0, SETTINGS.stopped_ns + 1, SETTINGS.state_interval_ns)
    for now_ns in looks:
        assert mind.on_timer(now_ns) == ()
        mind.on_state("y", stopped=True, now_ns=now_ns)
    (kill,) = mind.on_timer(SETTINGS.stopped_ns)
    assert kill.incident == Incident(Fault.DAEMON_FROZEN, "y")
    assert SETTINGS.stopped_ns < SETTINGS.health_interval_ns
    mind.on_done(kill.number, ok=True, now_ns=60 * MS)
    (again,) = mind.on_timer(60 * MS)
    (record,) = mind.on_done(again.number, ok=True, now_ns=70 * MS)
    assert isinstance(record, RepairRecord)
    assert (record.repaired, record.time_to_detect_ns) == (True, SETTINGS.stopped_ns)


def test_a_moment_of_being_stopped_is_no_fault() -> None:
    mind = watching()
    for now_ns in range(0, 10 * SETTINGS.stopped_ns, SETTINGS.state_interval_ns):
        stopped = now_ns % SETTINGS.stopped_ns != 0
        mind.on_state("y", stopped=stopped, now_ns=now_ns)
    assert mind.open == ()


def test_where_no_path_can_be_led_a_lost_link_is_waited_out() -> None:
    mind = Supervision(SETTINGS, [], dict.fromkeys(LINKS, 0), {}, now_ns=0)
    assert live(mind, 150 * MS, without=frozenset({"x--r", *"sxyr"})) == []
    assert mind.open == (Incident(Fault.LINK_LOST, "x--r"),)
    assert mind.lost_links == {"x--r"}
    (record,) = mind.on_echo("x--r", now_ns=900 * MS)
    assert isinstance(record, RepairRecord)
    assert (record.repaired, record.failed_ns) == (True, 0)
    assert record.time_to_detect_ns == SETTINGS.echo_interval_ns * SETTINGS.echo_misses
    assert record.detected_ns + record.time_to_repair_ns == 900 * MS
    assert mind.open == ()


def test_a_lost_link_leads_its_path_around_it_and_no_other() -> None:
    mind = watching()
    (order,) = live(mind, 150 * MS, without=frozenset({"x--r"}))
    assert order.step is Step.REROUTE
    assert order.path == OVER_Y
    (record,) = mind.on_done(order.number, ok=True, now_ns=151 * MS)
    assert record.repaired
    assert record.failed_ns == 0
    assert record.time_to_detect_ns == SETTINGS.echo_interval_ns * SETTINGS.echo_misses
    assert mind.routes == {"path 0": OVER_Y}


def test_without_another_way_it_says_so_and_tries_again_when_there_is_one() -> None:
    mind = watching()
    (record,) = live(mind, 150 * MS, without=frozenset({"x--r", "y--r"}))
    assert not record.repaired
    assert "no path left" in record.detail
    mind.on_echo("y--r", now_ns=200 * MS)
    (order,) = [one for one in mind.on_timer(201 * MS) if isinstance(one, Perform)]
    assert order.path == OVER_Y


def test_a_detour_that_breaks_is_left_again() -> None:
    mind = watching()
    (order,) = live(mind, 150 * MS, without=frozenset({"x--r"}))
    mind.on_done(order.number, ok=True, now_ns=150 * MS)
    mind.on_echo("x--r", now_ns=160 * MS)
    for now_ns in range(160 * MS, 300 * MS, 10 * MS):
        for link in ("s--x", "x--r", "y--r"):
            mind.on_echo(link, now_ns=now_ns)
        found = mind.on_timer(now_ns)
        if found:
            break
    (back,) = found
    assert back.path == OVER_X


def test_a_stall_of_our_own_proves_nothing() -> None:
    mind = watching()
    mind.on_stall(now_ns=5000 * MS)
    assert mind.on_timer(5000 * MS) == ()


def test_power_gives_what_was_given_up_another_chance() -> None:
    mind = watching()
    mind.on_death("x", now_ns=0)
    now_ns = 0
    while mind.open:
        now_ns = max(now_ns, mind.next_deadline_ns() or 0)
        mind.on_stall(now_ns=now_ns)
        for order in mind.on_timer(now_ns):
            mind.on_done(order.number, ok=False, now_ns=now_ns)
    mind.on_startable("x", now_ns=now_ns)
    assert mind.open == (Incident(Fault.DAEMON_DEAD, "x"),)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["death", "health", "echo", "timer", "done", "failed", "startable"]),
        st.integers(0, 3),
        st.integers(0, 400),
    ),
    max_size=60,
)


@given(EVENTS)
def test_a_timer_on_the_deadline_makes_progress_whatever_happens(events: list) -> None:
    mind = watching()
    now_ns = 0
    orders: list[Perform] = []
    for kind, which, step_ms in events:
        now_ns += step_ms * MS
        effects: tuple = ()
        if kind == "death":
            mind.on_death("sxyr"[which], now_ns=now_ns)
        elif kind == "health":
            effects = mind.on_health("sxyr"[which], now_ns=now_ns)
        elif kind == "echo":
            mind.on_echo(LINKS[which], now_ns=now_ns)
        elif kind == "startable":
            mind.on_startable("sxyr"[which], now_ns=now_ns)
        elif kind in ("done", "failed") and orders:
            order = orders.pop(which % len(orders))
            effects = mind.on_done(order.number, ok=kind == "done", now_ns=now_ns)
        else:
            effects = mind.on_timer(now_ns)
        orders += [one for one in effects if isinstance(one, Perform)]
    for _ in range(200):
        deadline_ns = mind.next_deadline_ns()
        if deadline_ns is None:
            break
        now_ns = max(now_ns, deadline_ns)
        before = (mind.open, mind.lost_links, deadline_ns)
        effects = mind.on_timer(now_ns)
        assert effects or (mind.open, mind.lost_links, mind.next_deadline_ns()) != before

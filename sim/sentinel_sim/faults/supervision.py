"""Who is watched from outside the nodes, what is taken for broken, and what is done. Sans I/O.

The supervisor knows four things at first hand: that a daemon died (the kernel says so), that it
is stopped (the kernel, too: state T), that it does not answer (its node-control service), and
that a link carries nothing (echoes over it). It does not hear what the nodes tell each other.
Times are integer ns of one clock.

To be silent may only mean to be busy, and takes long to believe. To be stopped is no matter of
load.

A detector's silence is counted from the last sign of life; that is the failure's time as far as
it can be known from outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from sentinel_node.core.health.detectors import FixedDetector
from sentinel_node.core.health.repair import (
    Fault,
    Incident,
    Perform,
    RepairEffect,
    RepairPlanner,
    RepairPolicy,
    RepairRecord,
    Step,
)

LADDERS: Mapping[Fault, tuple[tuple[Step, ...], ...]] = {
    Fault.XDP_DETACHED: ((Step.REATTACH_XDP,),),
    Fault.DAEMON_DEAD: ((Step.RESTART_DAEMON, Step.RECONNECT),),
    Fault.DAEMON_FROZEN: ((Step.RESTART_DAEMON, Step.RECONNECT),),
    Fault.PATH_BROKEN: ((Step.REROUTE,),),
    Fault.LINK_LOST: (),
}
"""What a supervisor can do by itself. Resync and resume are the nodes' own business, and so is a
lost link where TCP ends at its ends: they go on as soon as it carries again."""

MS = 1_000_000


@dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """How closely is watched, and how patient repairs are. Times in ns."""

    health_interval_ns: int = 100 * MS
    health_misses: int = 30
    """A daemon that did not answer for so many intervals hangs; it will be killed, so this is
    generous: at full load, senders on one CPU were seen to be silent for 0.9 s. One that is
    stopped is known sooner, by its state."""
    state_interval_ns: int = 10 * MS
    stopped_ns: int = 50 * MS
    """A daemon that was found stopped at every look for so long is taken for frozen: tools that
    take a picture of a process stop it for a moment."""
    echo_interval_ns: int = 20 * MS
    echo_misses: int = 4
    policy: RepairPolicy = field(
        default_factory=lambda: RepairPolicy(attempts=8, backoff_max_ns=2_000 * MS)
    )


class _State(Enum):
    WELL = auto()
    BROKEN = auto()
    """Reported to the planner; not watched until it is repaired."""


@dataclass(slots=True)
class _Watched:
    detector: FixedDetector
    heard_ns: int
    state: _State = _State.WELL
    stopped_ns: int | None = None
    """Since when the kernel calls the process stopped."""


class Supervision:
    """The supervisor's mind. The driver feeds it and carries out the steps it asks for."""

    def __init__(
        self,
        settings: SupervisorSettings,
        nodes: Sequence[str],
        links: Mapping[str, int],
        paths: Mapping[str, Sequence[tuple[str, ...]]],
        *,
        now_ns: int,
    ) -> None:
        """`links`: by name, how much later than its interval an echo may come (jitter, queues).

        `paths`: by name, every way it can take, best first, as alternating names of nodes and
        links; empty where nobody can lead it another way.
        """
        self._settings = settings
        self._planner = RepairPlanner(settings.policy, paths, ladders=LADDERS)
        self._ways = {name: tuple(ways) for name, ways in paths.items()}
        self._broken_ns: dict[str, int] = {}
        self._begun: set[Incident] = set()
        self._routes = {name: ways[0] for name, ways in paths.items() if ways}
        self._nodes = {name: self._watch_node(now_ns) for name in nodes}
        self._slack_ns = dict(links)
        self._links = {name: self._watch_link(name, now_ns) for name in links}

    def _watch_node(self, now_ns: int) -> _Watched:
        limits = self._settings.health_interval_ns, self._settings.health_misses
        return _Watched(FixedDetector(*limits, now_ns=now_ns), now_ns)

    def _watch_link(self, name: str, now_ns: int) -> _Watched:
        settings = self._settings
        # The time to detect is misses x interval; what an echo may be late is added once.
        interval_ns = settings.echo_interval_ns + -(-self._slack_ns[name] // settings.echo_misses)
        return _Watched(FixedDetector(interval_ns, settings.echo_misses, now_ns=now_ns), now_ns)

    @property
    def lost_links(self) -> frozenset[str]:
        """Links that are taken for broken now."""
        return frozenset(name for name, link in self._links.items() if link.state is _State.BROKEN)

    @property
    def routes(self) -> Mapping[str, tuple[str, ...]]:
        """The way that each path takes now."""
        return self._routes

    @property
    def open(self) -> tuple[Incident, ...]:
        """What is under repair."""
        return self._planner.open

    def on_death(self, node: str, *, now_ns: int) -> None:
        """The kernel said that the node's daemon is gone. Our own doing is no news."""
        watched = self._nodes[node]
        if watched.state is _State.WELL:
            watched.state = _State.BROKEN
            incident = Incident(Fault.DAEMON_DEAD, node)
            self._planner.on_fault(incident, failed_ns=now_ns, now_ns=now_ns)

    def on_health(self, node: str, *, now_ns: int) -> tuple[RepairEffect, ...]:
        """The node's daemon answered. A frozen one that does is well again without us."""
        watched = self._nodes[node]
        watched.heard_ns = now_ns
        watched.detector.heard(now_ns)
        incident = Incident(Fault.DAEMON_FROZEN, node)
        if incident in self._begun:
            return ()  # it is being killed already
        effects = self._planner.on_cured(incident, now_ns=now_ns)
        if effects:
            watched.state = _State.WELL
        return effects

    def on_state(self, node: str, *, stopped: bool, now_ns: int) -> None:
        """A look at the daemon's process: does the kernel call it stopped?"""
        watched = self._nodes[node]
        if not stopped or watched.state is not _State.WELL:
            watched.stopped_ns = None
            return
        if watched.stopped_ns is None:
            watched.stopped_ns = now_ns
        if now_ns - watched.stopped_ns >= self._settings.stopped_ns:
            watched.state = _State.BROKEN
            incident = Incident(Fault.DAEMON_FROZEN, node)
            self._planner.on_fault(incident, failed_ns=watched.stopped_ns, now_ns=now_ns)

    def on_startable(self, node: str, *, now_ns: int) -> None:
        """The node has power again: what was given up is tried once more."""
        if self._nodes[node].state is _State.BROKEN and not self._is_open(node):
            self._nodes[node].state = _State.WELL
            self.on_death(node, now_ns=now_ns)

    def on_echo(self, link: str, *, now_ns: int) -> tuple[RepairEffect, ...]:
        """An echo came back over the link; one that was lost is usable again."""
        watched = self._links[link]
        watched.heard_ns = now_ns
        watched.detector.heard(now_ns)
        if watched.state is not _State.BROKEN:
            return ()
        watched.state = _State.WELL
        self._planner.set_avoid(self.lost_links)
        self._reconsider(now_ns)
        return self._planner.on_cured(Incident(Fault.LINK_LOST, link), now_ns=now_ns)

    def on_stall(self, *, now_ns: int) -> None:
        """We ourselves were kept from watching until now: nobody's silence counts so far."""
        for watched in (*self._nodes.values(), *self._links.values()):
            watched.detector.heard(now_ns)

    def on_detached(self, unit: str, *, now_ns: int) -> None:
        """An FSU is not attached any more where it should be."""
        incident = Incident(Fault.XDP_DETACHED, unit)
        self._planner.on_fault(incident, failed_ns=now_ns, now_ns=now_ns)

    def on_timer(self, now_ns: int) -> tuple[RepairEffect, ...]:
        """Time has passed: who is silent for too long, and which steps are due."""
        for name, node in self._nodes.items():
            if node.state is _State.WELL and now_ns >= node.detector.deadline_ns:
                node.state = _State.BROKEN
                incident = Incident(Fault.DAEMON_FROZEN, name)
                self._planner.on_fault(incident, failed_ns=node.heard_ns, now_ns=now_ns)
        for name, link in self._links.items():
            if link.state is _State.WELL and now_ns >= link.detector.deadline_ns:
                link.state = _State.BROKEN
                self._lose(name, link.heard_ns, now_ns)
        return tuple(self._seen(effect) for effect in self._planner.on_timer(now_ns))

    def on_done(self, number: int, *, ok: bool, now_ns: int) -> tuple[RepairEffect, ...]:
        """A step has ended."""
        effects = self._planner.on_done(number, ok=ok, now_ns=now_ns)
        for effect in effects:
            if isinstance(effect, RepairRecord):
                self._closed(effect, now_ns)
        self._reconsider(now_ns)
        return effects

    def next_deadline_ns(self) -> int | None:
        """When to call `on_timer` next; None when there is nothing to wait for."""
        times = [
            watched.detector.deadline_ns
            for watched in (*self._nodes.values(), *self._links.values())
            if watched.state is _State.WELL
        ]
        planned_ns = self._planner.next_deadline_ns()
        return min(times + ([] if planned_ns is None else [planned_ns]), default=None)

    def _lose(self, link: str, failed_ns: int, now_ns: int) -> None:
        self._planner.set_avoid(self.lost_links)
        if not self._routes:
            lost = Incident(Fault.LINK_LOST, link)
            self._planner.on_fault(lost, failed_ns=failed_ns, now_ns=now_ns)
        for path, way in self._routes.items():
            if link in way:
                self._broken_ns[path] = failed_ns
                incident = Incident(Fault.PATH_BROKEN, path)
                self._planner.on_fault(incident, failed_ns=failed_ns, now_ns=now_ns)

    def _reconsider(self, now_ns: int) -> None:
        """A path that is still broken may have a way by now; or its new way broke meanwhile."""
        lost = self.lost_links
        for path, way in self._routes.items():
            incident = Incident(Fault.PATH_BROKEN, path)
            hopeful = any(lost.isdisjoint(other) for other in self._ways[path])
            if not lost.isdisjoint(way) and hopeful and incident not in self._planner.open:
                failed_ns = self._broken_ns.get(path, now_ns)
                self._planner.on_fault(incident, failed_ns=failed_ns, now_ns=now_ns)

    def _is_open(self, target: str) -> bool:
        return any(incident.target == target for incident in self._planner.open)

    def _seen(self, effect: RepairEffect) -> RepairEffect:
        if isinstance(effect, Perform):
            self._begun.add(effect.incident)
            if effect.step is Step.REROUTE:
                self._routes[effect.incident.target] = effect.path
        return effect

    def _closed(self, record: RepairRecord, now_ns: int) -> None:
        """Repaired or given up: a repaired daemon is watched again from now on."""
        self._begun.discard(record.incident)
        node = self._nodes.get(record.incident.target)
        if node is not None and record.repaired:
            self._nodes[record.incident.target] = self._watch_node(now_ns)

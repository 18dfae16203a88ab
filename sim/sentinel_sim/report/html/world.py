"""The topology on the globe as SVG paths: projections, great circles, a coastline (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LonLat = tuple[float, float]
XY = tuple[float, float]
ORTHOGRAPHIC_MOST_DEG = 75.0
"""Nodes further than this from their middle need the whole world, not one hemisphere."""
CLOSEST_DEG = 12.0
GREAT_CIRCLE_POINTS = 64
LABEL_ROOM = 1.18
SIZE = 480.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A node on the map."""

    name: str
    role: str
    x: float
    y: float
    anchor: str


@dataclass(frozen=True, slots=True)
class WorldMap:
    """What the template draws. Paths are SVG path data in a box of `width` x `height`."""

    width: float
    height: float
    coast: str
    graticule: str
    routes: tuple[tuple[str, str], ...]
    """(path, link name)"""
    marks: tuple[Mark, ...]
    summary: str


def map_of(topology: Mapping[str, Any], coast: Iterable[Sequence[LonLat]]) -> WorldMap | None:
    """The map of a topology document; None where a node has no location."""
    nodes = topology.get("nodes") or {}
    places = {
        name: (float(node["location"][1]), float(node["location"][0]))
        for name, node in nodes.items()
        if isinstance(node, Mapping) and node.get("location")
    }
    if not places or len(places) < len(nodes):
        return None
    projection = _projection(list(places.values()))
    links = [link["endpoints"] for link in topology.get("links") or ()]
    routes = tuple(
        (projection.path(great_circle(places[a], places[b])), f"{a} to {b}") for a, b in links
    )
    marks = tuple(
        _mark(name, str(nodes[name].get("role", "")), place, projection)
        for name, place in places.items()
    )
    said = "; ".join(f"{name} ({nodes[name].get('role')})" for name in places)
    return WorldMap(
        projection.width,
        projection.height,
        " ".join(filter(None, (projection.path(line) for line in coast))),
        " ".join(filter(None, (projection.path(line) for line in _graticule()))),
        routes,
        marks,
        f"Map with {len(places)} nodes: {said}; links as great circles: "
        + ", ".join(name for _, name in routes),
    )


def _mark(name: str, role: str, place: LonLat, projection: _Projection) -> Mark:
    x, y = projection.point(place) or (0.0, 0.0)
    return Mark(name, role, x, y, "end" if x > 0.7 * projection.width else "start")


def great_circle(one: LonLat, other: LonLat) -> list[LonLat]:
    """Points on the shortest way over the sphere, both ends included."""
    a, b = _vector(one), _vector(other)
    angle = math.acos(max(-1.0, min(1.0, sum(p * q for p, q in zip(a, b, strict=True)))))
    if angle < 1e-9 or math.pi - angle < 1e-9:
        return [one, other]
    found = []
    for step in range(GREAT_CIRCLE_POINTS + 1):
        share = step / GREAT_CIRCLE_POINTS
        p, q = (math.sin(part * angle) / math.sin(angle) for part in (1 - share, share))
        x, y, z = (p * u + q * v for u, v in zip(a, b, strict=True))
        found.append((math.degrees(math.atan2(y, x)), math.degrees(math.asin(z))))
    return found


class _Projection:
    """Common to both: from degrees to a box, lines broken where the map ends."""

    width = SIZE
    height = SIZE

    def point(self, place: LonLat) -> XY | None:
        raise NotImplementedError

    def path(self, line: Iterable[LonLat]) -> str:
        words: list[str] = []
        last: XY | None = None
        for place in line:
            at = self.point(place)
            if at is None or not self._inside(at):
                last = None
                continue
            # A jump over the map's edge (the date line) is no line.
            joined = last is not None and abs(at[0] - last[0]) < self.width / 2
            words.append(f"{'L' if joined else 'M'}{at[0]:.1f} {at[1]:.1f}")
            last = at
        return "".join(words)

    def _inside(self, at: XY) -> bool:
        room = 0.1 * self.width
        return -room <= at[0] <= self.width + room and -room <= at[1] <= self.height + room


class Orthographic(_Projection):
    """The globe from far above `centre`, cut to `radius_deg` around it (Snyder 1987, p. 145)."""

    def __init__(self, centre: LonLat, radius_deg: float) -> None:
        self._lon, self._lat = (math.radians(value) for value in centre)
        self._scale = SIZE / 2 / math.sin(math.radians(min(radius_deg, 90.0)))

    def point(self, place: LonLat) -> XY | None:
        lon, lat = (math.radians(value) for value in place)
        turn = lon - self._lon
        depth = math.sin(self._lat) * math.sin(lat)
        depth += math.cos(self._lat) * math.cos(lat) * math.cos(turn)
        if depth < 0:
            return None
        up = math.cos(self._lat) * math.sin(lat)
        up -= math.sin(self._lat) * math.cos(lat) * math.cos(turn)
        return (
            SIZE / 2 + self._scale * math.cos(lat) * math.sin(turn),
            SIZE / 2 - self._scale * up,
        )


class EqualEarth(_Projection):
    """The whole world with true areas (Savric, Patterson and Jenny 2018)."""

    height = SIZE * 0.49
    _A = (1.340264, -0.081106, 0.000893, 0.003796)
    _X_MOST = 2.7067

    def point(self, place: LonLat) -> XY | None:
        lon, lat = (math.radians(value) for value in place)
        t = math.asin(math.sqrt(3) / 2 * math.sin(lat))
        a1, a2, a3, a4 = self._A
        slope = 9 * a4 * t**8 + 7 * a3 * t**6 + 3 * a2 * t**2 + a1
        x = 2 * math.sqrt(3) * lon * math.cos(t) / (3 * slope)
        y = t * (a1 + a2 * t**2 + t**6 * (a3 + a4 * t**2))
        scale = self.width / 2 / self._X_MOST
        return self.width / 2 + scale * x, self.height / 2 - scale * y


def _projection(places: Sequence[LonLat]) -> _Projection:
    total = [sum(part) for part in zip(*map(_vector, places), strict=True)]
    length = math.hypot(*total)
    if length < 1e-6:
        return EqualEarth()
    x, y, z = (part / length for part in total)
    centre = (math.degrees(math.atan2(y, x)), math.degrees(math.asin(z)))
    furthest = max(
        math.degrees(math.acos(max(-1.0, min(1.0, x * a + y * b + z * c))))
        for a, b, c in map(_vector, places)
    )
    if furthest > ORTHOGRAPHIC_MOST_DEG:
        return EqualEarth()
    return Orthographic(centre, max(CLOSEST_DEG, furthest * LABEL_ROOM + 6))


def _vector(place: LonLat) -> tuple[float, float, float]:
    lon, lat = (math.radians(value) for value in place)
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)


def _graticule() -> Iterable[list[LonLat]]:
    for lon in range(-180, 181, 30):
        yield [(float(lon), float(lat)) for lat in range(-90, 91, 3)]
    for lat in range(-60, 61, 30):
        yield [(float(lon), float(lat)) for lon in range(-180, 181, 3)]

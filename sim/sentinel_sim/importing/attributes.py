"""Coordinates, rates and lengths among the attributes of a node or a link (pure).

Keys are compared without regard to case. A quantity has to say its unit, in the value or in the
key; a bare number is refused, because nobody can know whether `10` means Mbit/s or Gbit/s.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from sentinel_sim.importing.values import ImportRefusedError
from sentinel_sim.topology.units import UnitError, parse_distance_km, parse_rate, shorten

LATITUDES = ("latitude", "lat")
LONGITUDES = ("longitude", "lon", "lng", "long")
LABELS = ("label", "name")
RATE_TEXTS = ("bandwidth", "capacity", "rate", "speed", "linkspeed")
KM_KEYS = ("distance_km", "length_km", "dist_km", "km")
LENGTH_KEYS = ("dist", "distance", "length")
_PREFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SHORT_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:b(?:it)?(?:/s|ps|it/s)?)?", re.ASCII)
_BARE = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.ASCII)


def _lower(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key).casefold(): value for key, value in attributes.items()}


def label_of(node: str, attributes: Mapping[str, Any]) -> str:
    """What people call the node."""
    low = _lower(attributes)
    texts = (str(low[key]).strip() for key in LABELS if low.get(key) is not None)
    return next((text for text in texts if text), node)


def location_of(attributes: Mapping[str, Any], place: str) -> tuple[float, float] | None:
    """(latitude, longitude) in degrees; None where neither is given.

    Raises ImportRefusedError for half a place, or one that is not on Earth.
    """
    low = _lower(attributes)
    if isinstance(low.get("pos"), list | tuple) and len(low["pos"]) == 2:
        longitude, latitude = low["pos"]  # topohub's order, as in GeoJSON
    else:
        latitude = next((low[key] for key in LATITUDES if key in low), None)
        longitude = next((low[key] for key in LONGITUDES if key in low), None)
    if latitude is None and longitude is None:
        return None
    found = (_number(latitude), _number(longitude))
    if found[0] is None or found[1] is None or abs(found[0]) > 90 or abs(found[1]) > 180:
        raise ImportRefusedError(
            f"{place}: is no place on Earth, got latitude {shorten(latitude)} and longitude"
            f" {shorten(longitude)}; correct both, or remove both from the node"
        )
    return found[0], found[1]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def rate_of(attributes: Mapping[str, Any], place: str) -> int | None:
    """bit/s, where the source tells it. Raises ImportRefusedError where it tells it badly.

    The Internet Topology Zoo has `LinkSpeedRaw` in bit/s and `LinkSpeed` with `LinkSpeedUnits`.
    """
    low = _lower(attributes)
    raw = low.get("linkspeedraw")
    if raw is not None:
        number = _number(raw)
        if number is None or number < 1:
            raise _bad_rate(place, "LinkSpeedRaw", raw)
        return round(number)
    for key in RATE_TEXTS:
        if low.get(key) in (None, ""):
            continue
        unit = str(low.get("linkspeedunits") or "") if key == "linkspeed" else ""
        return _rate(f"{low[key]} {unit}".strip(), place, key)
    return None


def _rate(text: str, place: str, key: str) -> int:
    if _BARE.fullmatch(text.casefold()):
        raise _bad_rate(place, key, text)
    try:
        return parse_rate(text)
    except UnitError:
        match = _SHORT_RATE.fullmatch(text.casefold())
    if match is None:
        raise _bad_rate(place, key, text)
    amount = Fraction(match[1]) * _PREFIXES[match[2]]
    if not 1 <= amount < 10**18:
        raise _bad_rate(place, key, text)
    return round(amount)


def _bad_rate(place: str, key: str, got: object) -> ImportRefusedError:
    return ImportRefusedError(
        f"{place}: {key} is no rate with a unit, got {shorten(got)}; write for example '10 Gbit/s'",
        cure="add --ignore-rates to give every link the --rate",
    )


def length_of(attributes: Mapping[str, Any], *, bare_dist_is_km: bool, place: str) -> float | None:
    """km, where the source tells it with a unit; None where it does not, or only a bare number.

    Raises ImportRefusedError for a length that is none.
    """
    low = _lower(attributes)
    for key in (*KM_KEYS, *LENGTH_KEYS):
        if key not in low:
            continue
        value = low[key]
        number = _number(value)
        if number is not None and key in LENGTH_KEYS and not bare_dist_is_km:
            continue
        try:
            return parse_distance_km(value if number is None else number)
        except UnitError as error:
            raise ImportRefusedError(f"{place}: {key} {error}") from error
    return None

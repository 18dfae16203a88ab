"""Quantities with units: text in, whole numbers out, and back.

Every quantity in a topology file carries its unit, because "delay: 100" has cost the users of
other emulators more hours than any other line (one way or round trip? milliseconds?). Results
are integers: nanoseconds, bits per second, bytes; distances are kilometres as floats, shares
(loss) are probabilities.

Why not pint: it accepts bare numbers as dimensionless, rounds through floats, and knows neither
`packets` and `bdp`, whose size depends on the run, nor a message that helps. Decimals are read
exactly (`Fraction`), so `parse(format(x)) == x` holds for every value; the tests prove it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from types import MappingProxyType

MAX_VALUE = 2**62
"""Above this a value no longer fits the integers of kernel and wire formats."""
MIN_PERCENT = Fraction(1, 10**10)
MIN_FREQUENCY = Fraction(1, 10**6)
MAX_FREQUENCY = 10**9
MAX_TEXT = 60
NUMBER_PATTERN = r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,2})?"

_QUANTITY = re.compile(rf"\s*({NUMBER_PATTERN})\s*([^\s0-9+.-][^\s]*)?\s*", re.ASCII)


class UnitError(ValueError):
    """A text is not the quantity it should be; the message says what, got what, and the cure."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """A kind of quantity: its units, each as a whole multiple of the base unit."""

    name: str
    base: str
    units: Mapping[str, int]
    example: str
    aliases: Mapping[str, str] = field(default_factory=dict)

    def factor(self, unit: str) -> int | None:
        """The size of `unit` in base units; None if it is not a unit of this dimension."""
        return self.units.get(self.aliases.get(unit, unit))

    def list_units(self) -> str:
        """All units, for a message."""
        return ", ".join(self.units)


RATE = Dimension(
    "rate",
    "bit/s",
    MappingProxyType(
        {"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9, "Tbit/s": 10**12}
    ),
    "1 Gbit/s",
)
TIME = Dimension(
    "time",
    "ns",
    MappingProxyType({"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9}),
    "10 ms",
    MappingProxyType({"µs": "us", "μs": "us"}),
)
SIZE = Dimension(
    "size",
    "B",
    MappingProxyType(
        {
            "B": 1,
            "kB": 10**3,
            "KiB": 2**10,
            "MB": 10**6,
            "MiB": 2**20,
            "GB": 10**9,
            "GiB": 2**30,
        }
    ),
    "1500 B",
    MappingProxyType({"bytes": "B", "byte": "B"}),
)
LENGTH = Dimension("length", "m", MappingProxyType({"m": 1, "km": 1000}), "1000 km")
FREQUENCY = Dimension("frequency", "/s", MappingProxyType({"/s": 1}), "20 /s")
PERCENT = Dimension("percentage", "%", MappingProxyType({"%": 1}), "0.1 %")


def shorten(value: object) -> str:
    """`value` as it may stand in a one-line message."""
    text = repr(value)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."


def split_quantity(value: object, dimension: Dimension) -> tuple[Fraction, int]:
    """`(number, factor)` of a text such as "10 ms"; the quantity is their product.

    Raises UnitError for anything else, bare numbers in particular.
    """
    number, unit = _split_text(value, dimension)
    factor = dimension.factor(unit)
    if factor is None:
        raise UnitError(_unknown_unit(value, unit, dimension))
    if number < 0:
        raise UnitError(f"must not be negative, got {shorten(value)}; drop the minus sign")
    return number, factor


def _split_text(value: object, dimension: Dimension) -> tuple[Fraction, str]:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UnitError(
            f"must be a {dimension.name} such as {dimension.example!r}, got {shorten(value)}"
        )
    if isinstance(value, int | float):
        raise UnitError(_bare_number(value, dimension))
    match = _QUANTITY.fullmatch(value)
    if match is None:
        raise UnitError(
            f"is not a {dimension.name}, got {shorten(value)}; write a number and a unit, "
            f"such as {dimension.example!r}"
        )
    if match[2] is None:
        raise UnitError(_bare_number(match[1], dimension))
    return Fraction(match[1]), match[2]


def _bare_number(value: object, dimension: Dimension) -> str:
    units = dimension.list_units()
    return (
        f"is a bare number, got {shorten(value)}; every quantity carries its unit, "
        f"such as {dimension.example!r} (units: {units})"
    )


def _unknown_unit(value: object, unit: str, dimension: Dimension) -> str:
    near = closest(unit, list(dimension.units))
    hint = f"did you mean {near!r}? " if near else ""
    return (
        f"has no known unit of {dimension.name}, got {shorten(value)}; {hint}"
        f"units: {dimension.list_units()}"
    )


def closest(word: str, known: list[str]) -> str | None:
    """The known word nearest to `word`, ignoring case first; None if none is near."""
    folded = {item.casefold(): item for item in known}
    found = get_close_matches(word[:MAX_TEXT].casefold(), list(folded), n=1, cutoff=0.55)
    return folded[found[0]] if found else None


def whole(amount: Fraction, value: object, base: str) -> int:
    """`amount` as an integer; UnitError if it is finer than one base unit or absurdly large."""
    if amount > MAX_VALUE:
        raise UnitError(f"is larger than any value that can be handled, got {shorten(value)}")
    if amount.denominator != 1:
        raise UnitError(f"is not a whole number of {base}, got {shorten(value)}; round it")
    return amount.numerator


def _parse_whole(value: object, dimension: Dimension, *, positive: bool) -> int:
    number, factor = split_quantity(value, dimension)
    amount = whole(number * factor, value, dimension.base)
    if positive and amount == 0:
        raise UnitError(
            f"must be more than zero, got {shorten(value)}; write for example {dimension.example!r}"
        )
    return amount


def parse_rate(value: object) -> int:
    """A rate in bit/s, more than zero. Raises UnitError."""
    return _parse_whole(value, RATE, positive=True)


def parse_time(value: object) -> int:
    """A time in nanoseconds, zero allowed. Raises UnitError."""
    return _parse_whole(value, TIME, positive=False)


def parse_size(value: object) -> int:
    """A size in bytes, more than zero. Raises UnitError."""
    return _parse_whole(value, SIZE, positive=True)


def parse_share(value: object) -> float:
    """A percentage as a share: "0.1 %" is 0.001; the sign is required. Raises UnitError."""
    number, _ = split_quantity(value, PERCENT)
    if number > 100:
        raise UnitError(
            f"must be at most 100 %, got {shorten(value)}; no more than all can be lost"
        )
    if 0 < number < MIN_PERCENT:
        raise UnitError(f"is smaller than any that can be observed, got {shorten(value)}")
    return float(number / 100)


def parse_loss(value: object) -> float:
    """A packet loss probability, at least 0 and below 1. Raises UnitError."""
    share = parse_share(value)
    if share >= 1.0:
        raise UnitError(f"must be below 100 %, got {shorten(value)}; nothing would ever arrive")
    return share


def parse_distance_km(value: object) -> float:
    """A distance in km, more than zero: a number (the key names the unit) or "1000 km".

    Raises UnitError.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        kilometres = float(value) if abs(value) < MAX_VALUE else float("inf")
    else:
        number, factor = split_quantity(value, LENGTH)
        kilometres = float(number * factor / 1000)
    if not 0.0 < kilometres < 1e9:
        raise UnitError(
            f"must be more than 0 km and less than 1e9 km, got {shorten(value)}; "
            "give the length in km"
        )
    return kilometres


def parse_frequency(value: object) -> float:
    """Events per second, more than zero: "20 /s". Raises UnitError."""
    number, _ = split_quantity(value, FREQUENCY)
    if not MIN_FREQUENCY <= number <= MAX_FREQUENCY:
        raise UnitError(f"must lie between 1e-6 /s and 1e9 /s, got {shorten(value)}")
    return float(number)


def _format_whole(amount: int, dimension: Dimension) -> str:
    best = (str(amount), dimension.base)
    for unit, factor in dimension.units.items():
        digits = str(amount // factor)
        if amount and amount % factor == 0 and len(digits) < len(best[0]):
            best = (digits, unit)
    return f"{best[0]} {best[1]}"


def format_rate(rate_bps: int) -> str:
    """`rate_bps` in the unit that needs the fewest digits; exact."""
    return _format_whole(rate_bps, RATE)


def about_rate(rate_bps: float) -> str:
    """`rate_bps` to three digits, for figures in messages: "252 Mbit/s"."""
    unit = max(
        (name for name, factor in RATE.units.items() if factor <= max(rate_bps, 1)),
        key=lambda name: RATE.units[name],
    )
    return f"{rate_bps / RATE.units[unit]:.3g} {unit}"


def format_time(time_ns: int) -> str:
    """`time_ns` in the unit that needs the fewest digits; exact."""
    return _format_whole(time_ns, TIME)


def format_size(size_bytes: int) -> str:
    """`size_bytes` in the unit that needs the fewest digits; exact."""
    return _format_whole(size_bytes, SIZE)


def format_share(share: float) -> str:
    """A share as a percentage: 0.001 is "0.1 %"; exact."""
    percent = (Decimal(repr(share)) * 100).normalize()
    return f"{percent:f} %" if percent >= Decimal("1e-6") or not percent else f"{percent} %"


def format_number(number: Fraction) -> str:
    """A decimal fraction without trailing zeros; exact for everything this module can parse."""
    if number.denominator == 1:
        return str(number.numerator)
    scale = 0
    while (number * 10**scale).denominator != 1:
        scale += 1
    digits = str(int(number * 10**scale)).rjust(scale + 1, "0")
    return f"{digits[:-scale]}.{digits[-scale:]}"

"""Quantities that depend on the run: `max(8 s, 60 rtt)`, `1 bdp`, `250 packets`.

The grammar is small on purpose, and read by a parser of its own (nothing is ever evaluated as
Python):

    expression := term ("+" term)*
    term       := NUMBER UNIT | ("max" | "min") "(" expression ("," expression)* ")"

`rtt` is the base round trip time of the path, `bdp` its bandwidth-delay product, a `packet` is
one MTU with its Ethernet header. Their sizes are given when the expression is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from sentinel_sim.topology.units import (
    MAX_TEXT,
    MAX_VALUE,
    NUMBER_PATTERN,
    SIZE,
    TIME,
    Dimension,
    UnitError,
    closest,
    format_number,
    shorten,
)

MAX_DEPTH = 6
MAX_LENGTH = 200
MAX_TOKENS = 60

_TOKEN = re.compile(
    rf"\s*(?:(?P<number>(?![+-]){NUMBER_PATTERN})|(?P<word>[^\W\d_][\w/]*)|(?P<sign>\S))",
    re.ASCII,
)

DURATION = Dimension(
    "duration",
    TIME.base,
    MappingProxyType({**TIME.units, "rtt": 0}),
    "max(8 s, 60 rtt)",
    TIME.aliases,
)
AMOUNT = Dimension(
    "size",
    SIZE.base,
    MappingProxyType({**SIZE.units, "packets": 0, "bdp": 0}),
    "1 bdp",
    MappingProxyType({**SIZE.aliases, "packet": "packets"}),
)


@dataclass(frozen=True, slots=True)
class Term:
    """A number of one unit."""

    number: Fraction
    unit: str

    def __str__(self) -> str:
        return f"{format_number(self.number)} {self.unit}"


@dataclass(frozen=True, slots=True)
class Call:
    """The largest or smallest of several expressions, or their sum."""

    name: Literal["max", "min", "sum"]
    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        if self.name == "sum":
            return " + ".join(str(part) for part in self.parts)
        return f"{self.name}({', '.join(str(part) for part in self.parts)})"


Expression = Term | Call


def parse_duration(value: object) -> Expression:
    """An expression of times and `rtt`. Raises UnitError."""
    return parse(value, DURATION)


def parse_amount(value: object) -> Expression:
    """An expression of sizes, `packets` and `bdp`. Raises UnitError."""
    return parse(value, AMOUNT)


def parse(value: object, dimension: Dimension) -> Expression:
    """Read `value` as an expression of `dimension`. Raises UnitError."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UnitError(
            f"must be a {dimension.name} such as {dimension.example!r}, got {shorten(value)}"
        )
    if isinstance(value, int | float):
        raise UnitError(
            f"is a bare number, got {shorten(value)}; every quantity carries its unit, such as "
            f"{dimension.example!r} (units: {dimension.list_units()})"
        )
    if len(value) > MAX_LENGTH:
        raise UnitError(f"is longer than {MAX_LENGTH} characters, got {shorten(value)}")
    return _Parser(value, dimension).read()


def evaluate(expression: Expression, unit_sizes: Mapping[str, int | Fraction]) -> int:
    """The value in base units (ns or bytes), rounded down; `unit_sizes` must know each unit."""
    return int(_evaluate(expression, unit_sizes))


def _evaluate(expression: Expression, unit_sizes: Mapping[str, int | Fraction]) -> Fraction:
    if isinstance(expression, Term):
        return expression.number * unit_sizes[expression.unit]
    values = [_evaluate(part, unit_sizes) for part in expression.parts]
    if expression.name == "sum":
        return sum(values, Fraction(0))
    return max(values) if expression.name == "max" else min(values)


def duration_ns(expression: Expression, *, rtt_ns: int) -> int:
    """A duration expression in nanoseconds on a path with this base RTT."""
    return evaluate(expression, {**TIME.units, "rtt": rtt_ns})


def amount_bytes(expression: Expression, *, bdp_bytes: int, packet_bytes: int) -> int:
    """A size expression in bytes."""
    return evaluate(expression, {**SIZE.units, "bdp": bdp_bytes, "packets": packet_bytes})


class _Parser:
    """Recursive descent with one token of look-ahead; depth and length are bounded."""

    def __init__(self, text: str, dimension: Dimension) -> None:
        self._text = text
        self._dimension = dimension
        self._tokens = [
            (match.lastgroup or "sign", match[match.lastgroup or 0])
            for match in _TOKEN.finditer(text)
        ]
        self._next = 0

    def read(self) -> Expression:
        if len(self._tokens) > MAX_TOKENS:
            raise UnitError(f"has more than {MAX_TOKENS} words and signs; simplify it")
        expression = self._sum(depth=0)
        if self._next < len(self._tokens):
            raise self._error(f"{self._peek()!r} was not expected")
        return expression

    def _peek(self) -> str:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else ""

    def _take(self, kind: str) -> str | None:
        if self._next < len(self._tokens) and self._tokens[self._next][0] == kind:
            self._next += 1
            return self._tokens[self._next - 1][1]
        return None

    def _expect_sign(self, sign: str) -> None:
        if self._peek() != sign:
            raise self._error(f"{sign!r} is missing")
        self._next += 1

    def _sum(self, depth: int) -> Expression:
        parts = [self._term(depth)]
        while self._peek() == "+":
            self._next += 1
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else Call("sum", tuple(parts))

    def _term(self, depth: int) -> Expression:
        number = self._take("number")
        if number is not None:
            return self._quantity(Fraction(number))
        if self._peek() == "-":
            raise UnitError(f"must not be negative, got {shorten(self._text)}; drop the minus sign")
        word = self._take("word")
        if word == "max":
            return self._call("max", depth)
        if word == "min":
            return self._call("min", depth)
        raise self._error("a number, max(...) or min(...) is missing")

    def _call(self, name: Literal["max", "min"], depth: int) -> Expression:
        if depth >= MAX_DEPTH:
            raise self._error(f"nested more than {MAX_DEPTH} deep")
        self._expect_sign("(")
        parts = [self._sum(depth + 1)]
        while self._peek() == ",":
            self._next += 1
            parts.append(self._sum(depth + 1))
        self._expect_sign(")")
        return Call(name, tuple(parts))

    def _quantity(self, number: Fraction) -> Term:
        unit = self._take("word")
        if unit is None:
            raise UnitError(
                f"has a bare number, got {shorten(self._text)}; every quantity carries its unit "
                f"(units: {self._dimension.list_units()})"
            )
        unit = self._dimension.aliases.get(unit, unit)
        if unit not in self._dimension.units:
            near = closest(unit, list(self._dimension.units))
            hint = f"did you mean {near!r}? " if near else ""
            raise self._error(
                f"no unit {unit[:MAX_TEXT]!r} is known; {hint}units: {self._dimension.list_units()}"
            )
        if number == 0:
            raise UnitError(f"must be more than zero, got {shorten(self._text)}")
        if number * max(1, self._dimension.units[unit]) > MAX_VALUE:
            raise self._error("the value is larger than any that can be handled")
        return Term(number, unit)

    def _error(self, what: str) -> UnitError:
        return UnitError(
            f"is not a {self._dimension.name} such as {self._dimension.example!r}, "
            f"got {shorten(self._text)}: {what}"
        )

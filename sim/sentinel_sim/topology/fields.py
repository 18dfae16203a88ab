"""The field types of the topology model: how each is read, written, and described to editors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from sentinel_sim.topology.arrival import Arrival, StopRule, parse_arrival, parse_until
from sentinel_sim.topology.expression import AMOUNT, DURATION, Expression
from sentinel_sim.topology.expression import parse_amount as read_amount
from sentinel_sim.topology.expression import parse_duration as read_duration
from sentinel_sim.topology.units import (
    RATE,
    SIZE,
    TIME,
    Dimension,
    UnitError,
    format_rate,
    format_share,
    format_size,
    format_time,
    parse_distance_km,
    parse_loss,
    parse_rate,
    parse_size,
    parse_time,
    shorten,
)

NODE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(-[A-Za-z0-9_]+)*", re.ASCII)
MAX_NAME = 32
_SCHEMA_NUMBER = r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?"
_SCHEMA_SUM = r"[^-]*[A-Za-z)][^-]*"


def _quantity_schema(dimension: Dimension, description: str) -> WithJsonSchema:
    units = "|".join([*dimension.units, *dimension.aliases])
    return WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^\s*\+?{_SCHEMA_NUMBER}\s*({units})\s*$",
            "description": description,
            "examples": [dimension.example],
        }
    )


def _expression_schema(dimension: Dimension, description: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^{_SCHEMA_SUM}$",
            "description": f"{description} Units: {dimension.list_units()}.",
            "examples": [dimension.example],
        }
    )


def _text_schema(description: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "string", "description": description, "examples": list(examples)}
    )


def read_switch(value: object) -> bool:
    """`on` or `off` (also true and false). Raises UnitError."""
    if isinstance(value, bool):
        return value
    if value in ("on", "off"):
        return value == "on"
    raise UnitError(f"must be on or off, got {shorten(value)}")


def _write_switch(value: bool) -> str:
    return "on" if value else "off"


def read_name(value: object) -> str:
    """A name of a node or of the experiment. Raises UnitError."""
    if not isinstance(value, str) or len(value) > MAX_NAME or not NODE_NAME.fullmatch(value):
        raise UnitError(
            f"is no usable name, got {shorten(value)}; names have up to {MAX_NAME} letters, "
            "digits, '_' and single '-', and begin with a letter"
        )
    return value


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """Annotation of an `int`: a whole number without a unit, such as a count."""

    low: int
    high: int

    def read(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise UnitError(f"must be a whole number, got {shorten(value)}; write it in digits")
        if not self.low <= value <= self.high:
            raise UnitError(f"must lie between {self.low} and {self.high}, got {shorten(value)}")
        return value

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, handler(source))

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class RealNumber:
    """Annotation of a `float`: a plain number, such as a factor or an angle in degrees."""

    low: float
    high: float

    def read(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UnitError(f"must be a number, got {shorten(value)}; write it in digits")
        if not self.low <= value <= self.high:
            raise UnitError(
                f"must lie between {self.low:g} and {self.high:g}, got {shorten(value)}"
            )
        return float(value)

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, handler(source))

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "number", "minimum": self.low, "maximum": self.high}


def _read_congestion_control(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,14}", value, re.ASCII):
        raise UnitError(
            f"is no name of a congestion control, got {shorten(value)}; "
            "write the kernel's name, such as cubic, reno or bbr"
        )
    return value


Name = Annotated[
    str,
    BeforeValidator(read_name),
    WithJsonSchema({"type": "string", "pattern": rf"^{NODE_NAME.pattern}$", "maxLength": MAX_NAME}),
]
Rate = Annotated[
    int,
    BeforeValidator(parse_rate),
    PlainSerializer(format_rate),
    _quantity_schema(RATE, "A rate, of layer 2 frames, in each direction."),
]
Time = Annotated[
    int,
    BeforeValidator(parse_time),
    PlainSerializer(format_time),
    _quantity_schema(TIME, "A time."),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size),
    _quantity_schema(SIZE, "A size."),
]
Loss = Annotated[
    float,
    BeforeValidator(parse_loss),
    PlainSerializer(format_share),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^\s*\+?{_SCHEMA_NUMBER}\s*%\s*$",
            "description": "Random loss per packet of at most one MTU, in each direction.",
            "examples": ["0.1 %"],
        }
    ),
]
DistanceKm = Annotated[
    float,
    BeforeValidator(parse_distance_km),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": rf"^\s*\+?{_SCHEMA_NUMBER}\s*k?m\s*$"},
            ],
            "description": "Length in km before route_factor; the key names the unit.",
        }
    ),
]
Duration = Annotated[
    Expression,
    BeforeValidator(read_duration),
    PlainSerializer(str),
    _expression_schema(DURATION, "A duration; rtt is the base RTT of the path."),
]
Amount = Annotated[
    Expression,
    BeforeValidator(read_amount),
    PlainSerializer(str),
    _expression_schema(AMOUNT, "A size; bdp is that of the whole path at its base RTT."),
]
Switch = Annotated[
    bool,
    BeforeValidator(read_switch),
    PlainSerializer(_write_switch),
    WithJsonSchema({"enum": ["on", "off", True, False]}),
]
ArrivalField = Annotated[
    Arrival,
    BeforeValidator(parse_arrival),
    PlainSerializer(str),
    _text_schema("When the flows start.", "all at once", "every 50 ms", "poisson 20 /s"),
]
StopField = Annotated[
    StopRule,
    BeforeValidator(parse_until),
    PlainSerializer(str),
    _text_schema("Stop repeating when the interval is this narrow.", "ci95 < 5 %"),
]
CongestionControl = Annotated[
    str,
    BeforeValidator(_read_congestion_control),
    WithJsonSchema({"type": "string", "pattern": "^[a-z][a-z0-9_]{0,14}$"}),
]
Location = Annotated[
    tuple[Annotated[float, RealNumber(-90, 90)], Annotated[float, RealNumber(-180, 180)]],
    Field(description="[latitude, longitude] in degrees; north and east are positive."),
]

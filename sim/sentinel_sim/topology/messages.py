"""Translate the model's validation errors into problems a user can act on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sentinel_sim.topology import faults, model
from sentinel_sim.topology.problems import KeyPath, Problem, StructureError
from sentinel_sim.topology.units import closest, shorten

_PARTS: Mapping[tuple[str, ...], type[BaseModel]] = {
    (): model.Topology,
    ("defaults",): model.Defaults,
    ("defaults", "nodes"): model.NodeDefaults,
    ("defaults", "links"): model.LinkDefaults,
    ("nodes", "*"): model.Node,
    ("links", "*"): model.Link,
    ("experiment",): model.Experiment,
    ("experiment", "repeat"): model.Repeat,
    ("experiment", "workload", "bulk"): model.BulkWorkload,
    ("experiment", "workload", "transfer"): model.TransferWorkload,
    ("experiment", "workload", "many"): model.ManyWorkload,
    ("experiment", "workload", "trace"): model.TraceWorkload,
    **{("experiment", "faults", "*", kind): part for kind, part in faults.KINDS.items()},
}
_UNIONS: Mapping[tuple[str, str], tuple[int, tuple[str, ...]]] = {
    ("experiment", "workload"): (2, ("bulk", "transfer", "many")),
    ("experiment", "faults"): (3, tuple(faults.KINDS)),
}
"""By the first two words of a place: where the validator puts the kind, and the kinds."""
_CURES = {
    "rtt": "there is no rtt key: give the link 'delay_one_way', half the RTT",
    "<<": "merge keys are not supported: use 'defaults'",
    "bandwidth": "write 'rate: 1 Gbit/s'",
    "bw": "write 'rate: 1 Gbit/s'",
    "delay": "write 'delay_one_way: 10 ms'",
    "latency": "write 'delay_one_way: 10 ms'",
}


def keys_of(part: type[BaseModel]) -> list[str]:
    """The keys a part of the file may have."""
    return [field.alias or name for name, field in part.model_fields.items()]


def problems_of(error: ValidationError) -> list[Problem]:
    """Every problem in the error, each once, without lines."""
    found: dict[tuple[KeyPath, str], Problem] = {}
    for detail in error.errors(include_url=False):
        for problem in _translate(detail):
            found.setdefault((problem.path, problem.text), problem)
    return list(found.values())


def _translate(detail: ErrorDetails) -> Sequence[Problem]:
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, StructureError):
        return cause.problems
    if detail["type"] == "too_short" and _is_echo(detail):
        return ()
    path = _without_tags(detail["loc"])
    if isinstance(cause, ValueError):
        return (Problem(path, str(cause)),)
    text = _TEXTS.get(detail["type"], _other)(detail)
    return (Problem(path, text),)


def _is_echo(detail: ErrorDetails) -> bool:
    """ "Too short" only because the members were refused, which is reported by itself."""
    value = detail["input"]
    return isinstance(value, list | dict) and len(value) >= detail["ctx"]["min_length"]


def _without_tags(loc: Sequence[str | int]) -> KeyPath:
    """The key's place in the file: without the marks that the validator puts into `loc`."""
    path = list(loc)
    if path and path[-1] == "[key]":
        path.pop()
    if len(path) > 1 and (union := _union_at(path)) is not None and len(path) > union[0]:
        del path[union[0]]
    return tuple(path)


def _union_at(loc: Sequence[str | int]) -> tuple[int, tuple[str, ...]] | None:
    return _UNIONS.get((str(loc[0]), str(loc[1])))


def _part_at(loc: Sequence[str | int]) -> type[BaseModel] | None:
    words = tuple(
        "*" if (place == 1 and loc[0] in ("nodes", "links")) or isinstance(word, int) else str(word)
        for place, word in enumerate(loc)
    )
    return _PARTS.get(words)


def _unknown_key(detail: ErrorDetails) -> str:
    key = str(detail["loc"][-1])
    part = _part_at(detail["loc"][:-1])
    known = keys_of(part) if part is not None else []
    near = closest(key, known)
    hint = f"did you mean '{near}'? " if near else ""
    if key in _CURES:
        hint = f"{_CURES[key]}; "
    return f"unknown key, got {shorten(key)}; {hint}keys here: {', '.join(known)}"


def _missing(detail: ErrorDetails) -> str:
    return "is required but missing, got nothing; add it"


def _choice(detail: ErrorDetails) -> str:
    expected = str(detail["ctx"]["expected"]).replace(" or ", ", ").replace("'", "")
    known = expected.split(", ")
    value = detail["input"]
    near = closest(value, known) if isinstance(value, str) else None
    hint = f"did you mean '{near}'? " if near else ""
    return f"is none of the known values, got {shorten(value)}; {hint}known: {expected}"


def _kind_missing(detail: ErrorDetails) -> str:
    _, known = _union_at(detail["loc"]) or (0, ())
    return f"has no kind, got {shorten(detail['input'])}; write 'kind: {known[0]}', {_or(known)}"


def _or(known: Sequence[str]) -> str:
    return f"{', '.join(known[1:-1])} or {known[-1]}"


def _kind_unknown(detail: ErrorDetails) -> str:
    _, known = _union_at(detail["loc"]) or (0, ())
    kind = str(detail["ctx"]["tag"])
    near = closest(kind, list(known))
    hint = f"did you mean '{near}'? " if near else ""
    return f"kind is unknown, got {shorten(kind)}; {hint}kinds: {', '.join(known)}"


def _shape(wanted: str) -> Callable[[ErrorDetails], str]:
    def text(detail: ErrorDetails) -> str:
        return f"must be {wanted}, got {shorten(detail['input'])}"

    return text


def _too_short(detail: ErrorDetails) -> str:
    context: Any = detail["ctx"]
    return (
        f"needs at least {context['min_length']} entries, got {context['actual_length']}; add more"
    )


def _too_long(detail: ErrorDetails) -> str:
    context: Any = detail["ctx"]
    return f"may have {context['max_length']} entries at most, got {shorten(detail['input'])}"


def _other(detail: ErrorDetails) -> str:
    message = detail["msg"][:1].lower() + detail["msg"][1:]
    return f"{message}, got {shorten(detail['input'])}"


_MAPPING = _shape("a mapping (lines of 'key: value')")
_LIST = _shape("a list such as [a, b]")
_TEXTS: Mapping[str, Callable[[ErrorDetails], str]] = {
    "extra_forbidden": _unknown_key,
    "missing": _missing,
    "enum": _choice,
    "literal_error": _choice,
    "union_tag_invalid": _kind_unknown,
    "union_tag_not_found": _kind_missing,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dict_type": _MAPPING,
    "tuple_type": _LIST,
    "list_type": _LIST,
    "string_type": _shape("text"),
    "too_short": _too_short,
    "too_long": _too_long,
}

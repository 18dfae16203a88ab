"""YAML text to plain data, with the line of every key.

The events of the YAML parser are composed here, with a stack, so that hostile or broken files
are refused early and in one sentence: nesting and size are bounded, aliases may not multiply
(the "billion laughs"), keys may not repeat, tags cannot name Python objects. Scalars follow
the core schema of YAML 1.2, in which `on` and `no` are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from sentinel_sim.topology.problems import KeyPath, Problem, TopologyFileError
from sentinel_sim.topology.units import shorten

MAX_BYTES = 1 << 20
MAX_VALUES = 20_000
MAX_DEPTH = 24

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False}
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_REAL = re.compile(
    r"[+-]?(\.[0-9]{1,20}|[0-9]{1,20}(\.[0-9]{0,20})?)([eE][+-]?[0-9]{1,3})?", re.ASCII
)
_CORE_TAGS = frozenset({"str", "int", "float", "bool", "null", "map", "seq"})


@dataclass(slots=True)
class _Node:
    line: int
    scalar: str | None = None
    """The text of a scalar; None for collections."""
    plain: bool = False
    items: list[_Node] = field(default_factory=list)
    """Members of a sequence; key, value, key, value ... of a mapping."""
    is_mapping: bool = False
    closed: bool = True


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data, and the line (counted from 1) of each key and each list item in it."""

    data: object
    lines: dict[KeyPath, int]


def parse_document(text: str, source: str) -> Document:
    """Read one YAML document. Raises TopologyFileError."""
    try:
        return _Reader(source).read(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = Problem(
            (), "is not a text file, got an unprintable character; write plain YAML", line
        )
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(str(error.problem or error.context or "syntax error").split())
        problem = Problem(
            (),
            f"is not valid YAML, got: {what[:120]}; check indentation, colons and brackets",
            None if mark is None else mark.line + 1,
        )
    except (YAMLError, ValueError) as error:
        # ruamel raises ValueError for impossible escapes and %YAML versions.
        what = " ".join(str(error).split())
        problem = Problem((), f"is not valid YAML, got: {what[:120]}; check the syntax")
    raise TopologyFileError(source, [problem])


class _Reader:
    """Composes events to nodes, then nodes to data."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._anchors: dict[str, _Node] = {}
        self._stack: list[_Node] = []
        self._roots: list[_Node] = []
        self._count = 0
        self._lines: dict[KeyPath, int] = {}
        self._problems: list[Problem] = []

    def read(self, text: str) -> Document:
        documents = 0
        for event in YAML(typ="safe", pure=True).parse(text):
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._fail(
                        event.start_mark.line + 1,
                        "holds more than one document, got a second '---'; remove it",
                    )
            self._on_event(event)
        if not self._roots:
            raise self._fail(
                1, "is empty, got nothing; write a topology, or start from topologies/*.yaml"
            )
        self._count = 0
        data = self._convert(self._roots[0], (), 0)
        if self._problems:
            raise TopologyFileError(self._source, self._problems)
        return Document(data, self._lines)

    def _fail(self, line: int, text: str) -> TopologyFileError:
        return TopologyFileError(self._source, [Problem((), text, line)])

    def _budget(self, line: int, depth: int) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            raise self._fail(
                line,
                f"expands to more than {MAX_VALUES} values; a topology needs a few hundred: "
                "remove aliases or split the file",
            )
        if depth > MAX_DEPTH:
            raise self._fail(line, f"is nested more than {MAX_DEPTH} deep; flatten it")

    def _on_event(self, event: Event) -> None:
        if isinstance(event, CollectionEndEvent):
            self._stack.pop().closed = True
            return
        if not isinstance(event, AliasEvent | ScalarEvent | SequenceStartEvent | MappingStartEvent):
            return
        line = event.start_mark.line + 1
        self._budget(line, len(self._stack))
        node = self._resolve(event, line) if isinstance(event, AliasEvent) else _node(event, line)
        if not isinstance(event, AliasEvent):
            self._check_tag(event, line)
            if event.anchor is not None:
                self._anchors[event.anchor] = node
        (self._stack[-1].items if self._stack else self._roots).append(node)
        if not isinstance(event, AliasEvent | ScalarEvent):
            self._stack.append(node)

    def _resolve(self, event: AliasEvent, line: int) -> _Node:
        node = self._anchors.get(event.anchor)
        got = shorten(f"*{event.anchor}")
        if node is None:
            raise self._fail(line, f"uses an alias without an anchor, got {got}")
        if not node.closed:
            raise self._fail(line, f"contains itself, got {got}; remove the alias")
        return node

    def _check_tag(
        self, event: ScalarEvent | SequenceStartEvent | MappingStartEvent, line: int
    ) -> None:
        tag = None if event.tag is None else str(event.tag)
        if tag and tag != "!" and tag.removeprefix("tag:yaml.org,2002:") not in _CORE_TAGS:
            raise self._fail(line, f"uses a YAML tag, got {shorten(tag)}; remove it")

    def _convert(self, node: _Node, path: KeyPath, depth: int) -> object:
        self._budget(node.line, depth)
        if path:
            self._lines.setdefault(path, node.line)
        if node.scalar is not None:
            return scalar(node.scalar) if node.plain else node.scalar
        if not node.is_mapping:
            return [
                self._convert(item, (*path, index), depth + 1)
                for index, item in enumerate(node.items)
            ]
        result: dict[str, object] = {}
        for key, value in _pairs(node):
            if key.scalar is None:
                raise self._fail(key.line, "has a list or mapping as a key; keys are plain words")
            here = (*path, key.scalar)
            if key.scalar in result:
                first = self._lines[here]
                text = f"the key is given twice, first in line {first}; remove one"
                self._problems.append(Problem(here, text, key.line))
                continue
            self._lines[here] = key.line
            result[key.scalar] = self._convert(value, here, depth + 1)
        return result


def _node(event: ScalarEvent | SequenceStartEvent | MappingStartEvent, line: int) -> _Node:
    if isinstance(event, ScalarEvent):
        plain = bool(event.implicit[0]) and event.tag is None
        return _Node(line, scalar=event.value, plain=plain)
    return _Node(line, is_mapping=isinstance(event, MappingStartEvent), closed=False)


def _pairs(node: _Node) -> Iterator[tuple[_Node, _Node]]:
    return zip(node.items[::2], node.items[1::2], strict=True)


def scalar(text: str) -> object:
    """A plain scalar by the core schema: null, boolean, number, or the text itself."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _REAL.fullmatch(text):
        return float(text)
    return text

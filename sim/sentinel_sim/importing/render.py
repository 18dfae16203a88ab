"""An imported network as the text of a topology file (pure)."""

from __future__ import annotations

import textwrap
from collections import Counter

from sentinel_sim.importing.values import Choices, Imported, ImportedLink, Source
from sentinel_sim.topology.units import format_rate, format_share

WIDTH = 100


def render(imported: Imported, source: Source, choices: Choices) -> str:
    """YAML with its origin, licence and every assumption at its head."""
    located = all(link.by_location or not _both_located(imported, link) for link in imported.links)
    rate_bps = Counter(link.rate_bps for link in imported.links).most_common(1)[0][0]
    lines = ["# yaml-language-server: $schema=schema.json", "#", *_head(imported, source, choices)]
    lines += [f"name: {imported.name}", "nodes:"]
    lines += [_node(imported, index, located) for index in range(len(imported.nodes))]
    defaults = [
        f"rate: {format_rate(rate_bps)}",
        f"queue: {choices.queue}",
        f"loss: {format_share(choices.loss)}",
    ]
    lines += ["defaults:", f"  links: {{{', '.join(defaults)}}}", "links:"]
    lines += [_link(link, rate_bps, located, choices) for link in imported.links]
    # A mean needs some 30 losses in each run (`topology.feasibility`).
    shortest_s = 60 if choices.loss else 8
    lines += [
        "experiment:",
        "  arms: [direct, tuned, split]",
        "  congestion_control: cubic",
        f'  workload: {{kind: bulk, duration: "max({shortest_s} s, 60 rtt)"}}',
        "  repeat: {min: 2, max: 3, until: ci95 < 5 %}",
        "  seed: 1",
    ]
    return "\n".join(lines) + "\n"


def _head(imported: Imported, source: Source, choices: Choices) -> list[str]:
    made = f"Imported by `sentinel-sim import {_printable(source.name)}`."
    told = [
        f"{len(imported.nodes)} nodes, {len(imported.links)} links; routing cost = km of route;"
        f" loss {format_share(choices.loss)}, queue {choices.queue}, route_factor"
        f" {choices.route_factor:g}: chosen at import, not of the source.",
        *imported.notes,
    ]
    lines = [made, *(f"Source: {line}" for line in source.credit), *(f"- {line}" for line in told)]
    return [
        f"# {part}"
        for line in lines
        for part in textwrap.wrap(line, WIDTH - 2, subsequent_indent="  ", break_on_hyphens=False)
    ]


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _both_located(imported: Imported, link: ImportedLink) -> bool:
    places = {node.name: node.location for node in imported.nodes}
    return places[link.a] is not None and places[link.b] is not None


def _node(imported: Imported, index: int, located: bool) -> str:
    node = imported.nodes[index]
    role = {imported.sender: "sender", imported.receiver: "receiver"}.get(node.name, "intermediate")
    if node.location is None:
        return f"  {node.name}: {{role: {role}}}"
    place = f"location: [{node.location[0]!r}, {node.location[1]!r}]"
    if located:
        return f"  {node.name}: {{role: {role}, {place}}}"
    return f"  {node.name}: {{role: {role}}}  # {place}"


def _link(link: ImportedLink, rate_bps: int, located: bool, choices: Choices) -> str:
    words = [f"endpoints: [{link.a}, {link.b}]"]
    if not (located and link.by_location):
        words.append(f"distance_km: {round(link.km, 6)!r}")
    if choices.route_factor != 1.0:
        words.append(f"route_factor: {choices.route_factor!r}")
    if link.rate_bps != rate_bps:
        words.append(f"rate: {format_rate(link.rate_bps)}")
    words.append(f"cost: {max(1, round(link.km * choices.route_factor))}")
    return f"  - {{{', '.join(words)}}}"

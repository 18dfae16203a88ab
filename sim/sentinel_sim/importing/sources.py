"""Reading GraphML, GML and topohub; the only module of `importing` that does I/O."""

from __future__ import annotations

import bisect
import importlib.metadata
import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

from sentinel_sim.errors import MissingCapabilityError
from sentinel_sim.importing.values import ImportRefusedError, Source
from sentinel_sim.topology.graph import ForeignGraph, parse_gml, parse_graphml
from sentinel_sim.topology.units import closest, shorten

SCHEME = "topohub:"
MAX_BYTES = 8 << 20
FORMATS = {".graphml": parse_graphml, ".xml": parse_graphml, ".gml": parse_gml}
CITE = "topohub: P. Jurkiewicz, SoftwareX 24 (2023) 101540, doi 10.1016/j.softx.2023.101540; MIT"
ORIGINS = {
    "topozoo": "data: Internet Topology Zoo, S. Knight et al., IEEE JSAC 29(9), 2011; cite it",
    "sndlib": "data: SNDlib 1.0, S. Orlowski et al., Networks 55(3), 2010; cite it",
    "caida": "data: CAIDA; see caida.org for its terms of use",
}


def read(source: str) -> Source:
    """The graph that the words name. Raises ImportRefusedError, MissingCapabilityError."""
    if source.startswith(SCHEME):
        return _read_topohub(source)
    return _read_file(source)


def _read_file(name: str) -> Source:
    parse = FORMATS.get(Path(name).suffix.lower())
    if parse is None:
        raise ImportRefusedError(
            f"{name}: is of no known kind; files end in {', '.join(FORMATS)}, and the networks of"
            f" topohub are named like {SCHEME}topozoo/Abilene"
        )
    text = _text(name)
    try:
        graph = parse(text)
    except ValueError as error:
        raise ImportRefusedError(
            f"{name}: cannot be read as {Path(name).suffix[1:]}, got: {error}; "
            "check the place named"
        ) from error
    nodes, edges = _lines(text, xml=parse is parse_graphml)
    credit = ("origin and licence: as of the file named; add them here before you share this",)
    return Source(name, graph, credit, node_lines=nodes, edge_lines=edges)


def _text(name: str) -> str:
    try:
        with Path(name).open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ImportRefusedError(f"{name}: is larger than {MAX_BYTES} bytes; is it a network?")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ImportRefusedError(
            f"{name}:{line}: is not UTF-8, got byte 0x{content[error.start]:02x}; "
            "save it as UTF-8, for example with iconv"
        ) from error
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ImportRefusedError(f"{name}: cannot be read, got: {reason}; check path") from error
    except ValueError as error:  # a NUL byte in the name
        raise ImportRefusedError(f"{shorten(name)}: is no file name, got: {error}") from error


def _lines(text: str, *, xml: bool) -> tuple[dict[str, int], dict[frozenset[str], int]]:
    """Where nodes and links stand, which networkx does not tell. For messages: the first counts."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    nodes: dict[str, int] = {}
    edges: dict[frozenset[str], int] = {}
    block = r"<(node|edge)\b([^>]*)" if xml else r"\b(node|edge)\s*\[([^\[\]]*)"
    for match in re.finditer(block, text):
        line = bisect.bisect_right(starts, match.start())
        fields = dict(re.findall(r"\b(id|source|target)[\s=]+[\"']?([^\s\"'>]+)", match[2]))
        if match[1] == "node" and "id" in fields:
            nodes.setdefault(fields["id"], line)
        elif {"source", "target"} <= fields.keys():
            edges.setdefault(frozenset((fields["source"], fields["target"])), line)
    return nodes, edges


def _read_topohub(source: str) -> Source:
    key = source.removeprefix(SCHEME)
    try:
        data = importlib.resources.files("topohub").joinpath("data")
        version = importlib.metadata.version("topohub")
    except ModuleNotFoundError as error:
        raise MissingCapabilityError(
            f"{source}: the Python package topohub is not installed",
            cure="pip install 'topohub>=1.5'",
        ) from error
    parts = key.split("/")
    if not re.fullmatch(r"[\w.+-]+(/[\w.+-]+)+", key, re.ASCII) or ".." in parts:
        raise ImportRefusedError(
            f"{source}: names no network; write {SCHEME}GROUP/NAME, such as {SCHEME}topozoo/Abilene"
        )
    file = data.joinpath(f"{key}.json")
    if not file.is_file():
        raise ImportRefusedError(f"{source}: topohub {version} has no such network; {_near(key)}")
    credit = (ORIGINS.get(parts[0], "data: of topohub's own making"), CITE)
    graph = _of_node_link(json.loads(file.read_text()))
    return Source(source, graph, (f"topohub {version}", *credit), bare_dist_is_km=True)


def _near(key: str) -> str:
    data = importlib.resources.files("topohub").joinpath("data")
    *folders, name = key.split("/")
    folder = data.joinpath(*folders)
    if not folder.is_dir():
        groups = sorted(one.name for one in data.iterdir() if one.is_dir())
        return f"groups: {', '.join(groups)}"
    known = sorted(one.name.removesuffix(".json") for one in folder.iterdir())
    near = closest(name, known)
    hint = f"did you mean '{near}'? " if near else ""
    return f"{hint}{len(known)} in {'/'.join(folders)}, such as {', '.join(known[:5])}"


def _of_node_link(data: dict[str, Any]) -> ForeignGraph:
    """networkx's node-link form, in which topohub keeps its networks."""
    nodes = {str(node["id"]): node for node in data["nodes"]}
    edges = [(str(edge["source"]), str(edge["target"]), edge) for edge in data["edges"]]
    return ForeignGraph(nodes, edges, bool(data["directed"]))

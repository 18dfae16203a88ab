"""The JSON Schema of topology files, for editors: `python -m sentinel_sim.topology.schema`.

The schema is made from the model. It knows shapes, keys and units; what depends on other parts
of the file (node names, paths, lengths) only `sentinel-sim validate` checks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sentinel_sim.topology import faults, model
from sentinel_sim.topology.messages import keys_of
from sentinel_sim.topology.sweep import DISTANCE, EXPERIMENT_KEYS, LINK_KEYS

SCHEMA_FILE = Path(__file__).parents[3] / "topologies" / "schema.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


PARTS: tuple[type[BaseModel], ...] = (
    model.Node,
    model.NodeDefaults,
    model.Link,
    model.LinkDefaults,
    model.Defaults,
    model.BulkWorkload,
    model.TransferWorkload,
    model.ManyWorkload,
    model.TraceWorkload,
    model.Repeat,
    model.Experiment,
    *faults.KINDS.values(),
)


def build() -> dict[str, Any]:
    """The schema as plain data."""
    schema = model.Topology.model_json_schema(by_alias=True)
    for part in PARTS:
        _tidy(schema["$defs"], part)
    # `defaults` may give the rest.
    schema["$defs"]["Link"]["required"] = ["endpoints"]
    schema["$defs"]["Node"].pop("required")
    _complete_sweep_keys(schema["$defs"]["Experiment"]["properties"]["sweep"])
    _plain_descriptions(schema)
    return {"$schema": DIALECT, **schema}


def _tidy(definitions: dict[str, Any], part: type[BaseModel]) -> None:
    """Defaults as a file would say them; no `null`, which the model uses for absent keys."""
    written = part.model_construct().model_dump(mode="json", by_alias=True, exclude_none=True)
    for key, entry in definitions[part.__name__]["properties"].items():
        options = [option for option in entry.get("anyOf", []) if option != {"type": "null"}]
        if "anyOf" in entry:
            del entry["anyOf"]
            entry.update({**options[0], **entry} if len(options) == 1 else {"anyOf": options})
        entry.pop("default", None)
        if key in written and not isinstance(written[key], dict):
            entry["default"] = written[key]


def _complete_sweep_keys(sweep: dict[str, Any]) -> None:
    workload = {*keys_of(model.BulkWorkload), *keys_of(model.ManyWorkload)} - {"kind"}
    known = (DISTANCE, *LINK_KEYS, *EXPERIMENT_KEYS, *sorted(workload))
    values = sweep.pop("additionalProperties")
    sweep["properties"] = dict.fromkeys(known, values)
    sweep["patternProperties"] = {r"^(links|nodes|experiment)\.[^.]+(\.[^.]+)?$": values}
    sweep["additionalProperties"] = False


def _plain_descriptions(node: object) -> None:
    if isinstance(node, dict):
        if isinstance(node.get("description"), str):
            node["description"] = " ".join(node["description"].split())
        for value in node.values():
            _plain_descriptions(value)
    elif isinstance(node, list):
        for value in node:
            _plain_descriptions(value)


def render() -> str:
    """The text of the schema file."""
    return json.dumps(build(), indent=2, ensure_ascii=False) + "\n"


def main(argv: list[str]) -> int:
    """Write the schema to the file named, by default the one in `topologies/`."""
    path = Path(argv[0]) if argv else SCHEMA_FILE
    path.write_text(render())
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""Write the coastline of the report's map: coastline.py LAND_110M_JSON > coast.json.

The input is `land-110m.json` of the npm package world-atlas (`npm pack world-atlas`), a TopoJSON
form of Natural Earth's 1:110m land, which is in the public domain. Points are thinned to 0.1
degrees, which is what the map can show.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def lines(topology: dict[str, Any]) -> list[list[list[float]]]:
    """The arcs of a quantised TopoJSON document as [longitude, latitude] in degrees."""
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    found = []
    for arc in topology["arcs"]:
        x = y = 0
        points: list[list[float]] = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            point = [round(x * sx + tx, 1), round(y * sy + ty, 1)]
            if not points or points[-1] != point:
                points.append(point)
        found.append(points)
    return found


if __name__ == "__main__":
    document = {
        "source": "Natural Earth 1:110m land, public domain, by way of world-atlas 2.0.2 (ISC)",
        "lines": lines(json.loads(Path(sys.argv[1]).read_text())),
    }
    json.dump(document, sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")

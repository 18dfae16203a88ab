"""The colours of report.html for figures outside of it: read from its style sheet."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Any, Literal

Theme = Literal["light", "dark"]
_VARIABLE = re.compile(r"--([a-z-]+):\s*([^;]+);")
_ROOT = re.compile(r":root[^{]*\{([^}]*)\}")


@cache
def colours(theme: Theme) -> dict[str, str]:
    """Name -> CSS colour: the first `:root` of the style sheet, and the second over it if dark."""
    sheet = resources.files(__package__).joinpath("report.css").read_text()
    light, dark = (dict(_VARIABLE.findall(block)) for block in _ROOT.findall(sheet)[:2])
    return light if theme == "light" else {**light, **dark}


def themed(value: Any, theme: Theme) -> Any:  # noqa: ANN401  plotly's values
    """A copy of a specification with `@name` replaced by the colour of that name."""
    if isinstance(value, str):
        return colours(theme)[value[1:]] if value.startswith("@") else value
    if isinstance(value, list | tuple):
        return [themed(one, theme) for one in value]
    if isinstance(value, dict):
        return {key: themed(one, theme) for key, one in value.items()}
    return value

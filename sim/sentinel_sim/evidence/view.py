"""Looking at a result document without trusting that every key is there (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Run = Mapping[str, Any]
ARM_ORDER = ("direct", "tuned", "split", "fsu")
FIXED_PARAMS = frozenset({"distance_km"})


def number(run: Run, *path: str) -> float | None:
    """The number at `path`; None where a key is absent, null or no number."""
    value: Any = run
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one arm with equal parameters, whatever their distance."""

    arm: str
    condition: str
    runs: tuple[Run, ...]
    """Every run, invalid ones too."""

    @property
    def valid(self) -> list[Run]:
        """Those that may be believed."""
        return [run for run in self.runs if run.get("valid")]

    @property
    def invalid_count(self) -> int:
        """Those left out."""
        return len(self.runs) - len(self.valid)

    def by_distance(self) -> dict[float, list[Run]]:
        """Valid runs by distance in km, ascending; runs without a distance are left out."""
        found: dict[float, list[Run]] = {}
        for run in self.valid:
            if (km := number(run, "distance_km")) is not None:
                found.setdefault(km, []).append(run)
        return dict(sorted(found.items()))

    def asked(self) -> dict[float, list[Run]]:
        """Runs, invalid ones too, by base RTT in s, ascending: repeats of one point each."""
        found: dict[float, list[Run]] = {}
        for run in self.runs:
            found.setdefault(number(run, "requested", "rtt_s") or 0.0, []).append(run)
        return dict(sorted(found.items()))

    def points(self) -> list[list[Run]]:
        """Valid runs of one base RTT each, ascending; a point without any is left out."""
        valid = [[run for run in runs if run.get("valid")] for runs in self.asked().values()]
        return [runs for runs in valid if runs]

    @property
    def unlike(self) -> bool:
        """Whether repeats of one point differ in offloads: such runs are not pooled."""
        return any(len({run.get("offloads_sha256") for run in runs}) > 1 for runs in self.points())


class View:
    """The runs of a result, grouped as claims need them."""

    def __init__(self, result: Mapping[str, Any]) -> None:
        self.result = result
        self.runs: tuple[Run, ...] = tuple(result.get("runs") or ())

    @property
    def quick(self) -> bool:
        """Whether it was a first look, too short for claims."""
        return bool((self.result.get("plan") or {}).get("quick"))

    @cached_property
    def groups(self) -> list[Group]:
        """By arm and parameters, arms in the order of the design."""
        names = self._varying()
        found: dict[tuple[str, str], list[Run]] = {}
        for run in self.runs:
            found.setdefault((str(run.get("arm")), condition_of(run, names)), []).append(run)
        order = sorted(found, key=lambda key: (_rank(key[0]), key[1]))
        return [Group(arm, condition, tuple(found[arm, condition])) for arm, condition in order]

    def _varying(self) -> list[str]:
        params = [run.get("params") or {} for run in self.runs]
        names = sorted({name for one in params for name in one})
        return [
            name
            for name in names
            if name.rpartition(".")[2] not in ("distance_km", "delay_one_way")
            and len({json.dumps(one.get(name)) for one in params}) > 1
        ]


def condition_of(run: Run, names: Sequence[str]) -> str:
    """`loss 0.1 %, size 10 MB`: the parameters that vary."""
    params = run.get("params") or {}
    return ", ".join(f"{name} {params.get(name)}" for name in names)


def _rank(arm: str) -> int:
    return ARM_ORDER.index(arm) if arm in ARM_ORDER else len(ARM_ORDER)


def keys_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """The keys of these runs."""
    return tuple(str(run.get("key")) for run in runs)


def interval_text(figure: float, ci: tuple[float, float] | None, unit: str = "") -> str:
    """`1.04 [1.02, 1.07] ms`."""
    words = short(figure)
    if ci is not None:
        words += f" [{short(ci[0])}, {short(ci[1])}]"
    return f"{words} {unit}".strip()


def short(value: float) -> str:
    """Three digits, trailing zeros kept: they say how well it is known."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def counted(count: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")

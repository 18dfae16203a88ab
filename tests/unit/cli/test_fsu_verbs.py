"""`sentinel-sim fsu ...`: what is asked of the library, what is printed, which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli.world import World

from sentinel_sim.errors import FsuUsageError
from sentinel_sim.fsu.registry import CleanedUnit, Registry


class EmptyHost(Registry):
    """Nothing is attached; one stale thing lies about."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path / "run", bpffs_directory=tmp_path)

    def clean(self, *, dry_run: bool) -> list[CleanedUnit]:
        return [CleanedUnit("n1i7", "FSU of eth7", "interface gone")]

    def detach(self, ifname: str, netns: Path | None) -> object:  # type: ignore[override]
        raise FsuUsageError(f"{ifname}: none there", cure="sentinel-sim fsu status")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.change(registry=lambda: EmptyHost(tmp_path))
    return made


@pytest.mark.parametrize(
    "words",
    [("attach", "eth0"), ("detach", "eth0"), ("status",), ("clean",), ("dump",), ("top", "--once")],
)
def test_every_verb_without_root_ends_with_3_and_the_command(
    world: World, words: tuple[str, ...]
) -> None:
    world.change(
        missing_privileges=lambda: ["CAP_SYS_ADMIN"],
        arguments=("/opt/sentinel-sim", "fsu", *words),
    )
    done = world.call("fsu", *words)
    assert done.exit_code == 3
    assert f"cure: sudo SENTINEL_SEED=8 /opt/sentinel-sim fsu {' '.join(words)}" in done.stderr


def test_an_empty_host_is_said_to_be_empty(world: World) -> None:
    done = world.call("fsu", "status")
    assert done.exit_code == 0
    assert "no FSU of ours" in done.stderr
    assert json.loads(world.call("fsu", "status", "--json").stdout)["units"] == []
    nothing = world.call("fsu", "top", "--once", "--json")
    assert nothing.exit_code == 2
    assert json.loads(nothing.stdout)["exit_code"] == 2
    assert "attached on this host: none" in nothing.stderr


def test_cleaning_says_what_and_why(world: World) -> None:
    assert (
        "would remove FSU of eth7: interface gone" in world.call("fsu", "clean", "--dry-run").stdout
    )
    document = json.loads(world.call("fsu", "clean", "--json").stdout)
    assert document["schema"] == "sentinel-sim/fsu-clean/1"
    assert document["found"][0]["unit"] == "n1i7"


def test_flags_come_from_variables_too(world: World) -> None:
    done = world.call("fsu", "detach", env={"SENTINEL_INTERFACE": "eth5"})
    assert done.exit_code == 2
    assert "eth5: none there" in done.stderr
    bad = world.call("fsu", "top", env={"SENTINEL_SORT": "colour"})
    assert bad.exit_code == 2
    assert "colour" in bad.stderr


@pytest.mark.parametrize("verb", ["attach", "detach", "status", "clean", "dump", "top"])
def test_help_teaches_with_examples(world: World, verb: str) -> None:
    text = world.call("fsu", verb, "--help").stdout
    assert "Examples:" in text
    assert f"sentinel-sim fsu {verb}" in text
    assert "SENTINEL_JSON" in text


def test_a_namespace_that_does_not_exist_is_named(world: World) -> None:
    done = world.call("fsu", "attach", "eth0", "--netns", "sentinel-nowhere")
    assert done.exit_code == 2
    assert "/run/netns/sentinel-nowhere does not exist" in done.stderr

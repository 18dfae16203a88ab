"""`campaign` on the command line: what cannot be meant is refused before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.cli.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def refused(world: World, *flags: str, code: int) -> str:
    done = world.call("campaign", str(world.file), "--out", str(world.out), *flags)
    assert done.exit_code == code, done.output
    assert not world.out.exists(), "nothing was begun"
    return done.stderr


def test_an_arm_in_which_nobody_confirms_is_refused(world: World) -> None:
    words = refused(world, "--arms", "tuned", code=2)
    assert "nobody confirms bytes for others in tuned" in words
    assert "--arms split,fsu" in words


@pytest.mark.parametrize("flag", ["--kinds", "--targets"])
def test_what_cannot_be_struck_is_refused_with_what_can(world: World, flag: str) -> None:
    words = refused(world, flag, "tea", code=2)
    assert f"{flag} tea: none of" in words


def test_kinds_that_do_not_strike_the_targets_are_refused(world: World) -> None:
    words = refused(world, "--targets", "a--m", "--kinds", "kill-daemon", code=2)
    assert "none of these kinds strikes these targets" in words


def test_without_root_it_says_how(world: World) -> None:
    world.change(missing_privileges=lambda: ["CAP_NET_ADMIN"])
    words = refused(world, code=3)
    assert "a campaign needs root" in words
    assert "sudo" in words

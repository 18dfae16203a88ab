"""requirements.txt is what `make setup` installs, without resolving: so it has to be all of it."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]


def pins() -> dict[str, Requirement]:
    """The lines of requirements.txt, by canonical name."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    named = {canonicalize_name(one.name): one for one in found}
    assert len(named) == len(found), "a package is pinned twice"
    return named


def version_of(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "==", f"{pin} is no exact pin"
    return specifier.version


def declared() -> list[Requirement]:
    """All that pyproject.toml asks for: to run, to develop, to build."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    groups = (project["project"]["dependencies"], *extras, project["build-system"]["requires"])
    return [Requirement(text) for group in groups for text in group]


def test_what_the_project_declares_is_pinned_to_a_version_that_it_allows() -> None:
    found = pins()
    for wanted in declared():
        pin = found.get(canonicalize_name(wanted.name))
        assert pin is not None, f"{wanted} is not pinned: resolve anew, as the file's head says"
        assert wanted.specifier.contains(version_of(pin)), f"{pin} is not {wanted}"


def test_what_the_pinned_packages_need_is_pinned_as_well() -> None:
    """setup.sh installs with --no-deps: what is missing here is missing there."""
    found = pins()
    asked = {canonicalize_name(one.name): set(one.extras) for one in declared()}
    looked_at = 0
    for name in found:
        try:
            needs = requires(name) or []
        except PackageNotFoundError:
            continue  # an older virtual environment than this file
        looked_at += 1
        for need in map(Requirement, needs):
            extras = {"", *asked.get(name, set())}
            if need.marker and not any(need.marker.evaluate({"extra": one}) for one in extras):
                continue
            pin = found.get(canonicalize_name(need.name))
            assert pin is not None, f"{name} needs {need}, which is not pinned"
            assert need.specifier.contains(version_of(pin)), f"{name} needs {need}, pinned: {pin}"
    assert looked_at > len(found) // 2

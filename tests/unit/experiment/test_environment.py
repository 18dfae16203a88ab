"""What a result says of its surroundings."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from sentinel_sim.experiment.environment import (
    command_output,
    commit_of,
    host_environment,
    versions,
)


def git(answers: Mapping[str, bytes | None]) -> object:
    def output(command: Sequence[str]) -> bytes | None:
        (verb,) = [word for word in command if word in ("rev-parse", "diff")]
        return answers[verb]

    return output


def test_a_clean_checkout_is_its_commit() -> None:
    answers = git({"rev-parse": b"abc123\n", "diff": b""})
    assert commit_of(Path("/x"), answers) == "abc123"  # type: ignore[arg-type]


def test_different_uncommitted_changes_are_different_commits() -> None:
    found = {
        commit_of(Path("/x"), git({"rev-parse": b"abc\n", "diff": change}))  # type: ignore[arg-type]
        for change in (b"one", b"two", b"")
    }
    assert len(found) == 3
    assert sum("abc+dirty." in str(commit) for commit in found) == 2


def test_outside_of_a_checkout_there_is_no_commit() -> None:
    assert commit_of(Path("/x"), git({"rev-parse": None})) is None  # type: ignore[arg-type]


def test_changes_that_cannot_be_read_are_not_taken_for_none() -> None:
    answers = git({"rev-parse": b"abc\n", "diff": None})
    assert commit_of(Path("/x"), answers) == "abc+unknown"  # type: ignore[arg-type]


def test_a_real_repository_is_read(tmp_path: Path) -> None:
    def run(*words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

    if command_output(("git", "--version")) is None:
        pytest.skip("git is not installed")
    run("init", "-q")
    (tmp_path / "file").write_text("one")
    run("add", "file")
    run("commit", "-q", "-m", "x")
    inside = tmp_path / "folder"
    inside.mkdir()
    clean = commit_of(inside)
    assert clean is not None
    assert len(clean) == 40
    (tmp_path / "file").write_text("two")
    assert str(commit_of(inside)).startswith(f"{clean}+dirty.")


def test_a_program_that_is_missing_or_fails_gives_nothing() -> None:
    assert command_output(("/nonexistent/program",)) is None
    assert command_output(("false",)) is None
    assert command_output(("echo", "hello")) == b"hello\n"


def test_versions_tell_absent_from_present() -> None:
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["numpy"]


def test_the_host_is_described() -> None:
    found = host_environment(lambda command: None)
    assert found["kernel"] == platform.release()
    assert found["commit"] is None
    assert found["cpu_count"] >= 1

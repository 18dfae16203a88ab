"""Mutual TLS between nodes: whom a node believes, and what it takes for its certificates."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from tests.unit.node.test_control_plane import Watcher, dialling, listening, running, until

from sentinel_node.daemon.control.identity import Identity, read_identity
from sentinel_node.daemon.control.interface import PeerChange
from sentinel_node.errors import RequestError
from sentinel_sim.errors import CertificateError
from sentinel_sim.host.certificates import issue


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    issue(folder, ("a", "b", "c"))
    return folder


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same names, of another authority."""
    folder = tmp_path_factory.mktemp("strangers")
    issue(folder, ("a", "b"))
    return folder


def identity(folder: Path, node: str) -> Identity:
    return read_identity(folder / node, node)


async def test_nodes_of_one_authority_meet(folder: Path) -> None:
    there = replace(listening("a"), identity=identity(folder, "b"))
    async with running(there) as b:
        here = replace(dialling("a", "b", await b.ready()), identity=identity(folder, "a"))
        async with running(here) as a:
            await Watcher(a).until(PeerChange.UP)
            await until(lambda: b.peers["a"].connected)


async def refused(there: Identity, here: Identity | None, *, says: str) -> None:
    """`a` calls `b` with what it has, and gets no session; `says`: what `a` is told."""
    async with running(replace(listening("a"), identity=there)) as b:
        settings = replace(dialling("a", "b", await b.ready()), identity=here)
        async with running(settings) as a:
            await until(lambda: bool(a.trouble("b")))
            assert re.search(says, a.trouble("b")), a.trouble("b")
            assert (a.peers["b"].sessions, b.peers["a"].sessions) == (0, 0)


async def test_a_certificate_of_another_authority_is_refused(folder: Path, strangers: Path) -> None:
    await refused(identity(folder, "b"), identity(strangers, "a"), says="CERTIFICATE_VERIFY_FAILED")


async def test_a_caller_that_believes_us_must_be_believed_too(
    folder: Path, strangers: Path
) -> None:
    """It knows our authority; its own certificate is of another."""
    mixed = replace(identity(strangers, "a"), authority=identity(folder, "a").authority)
    await refused(identity(folder, "b"), mixed, says="UNAVAILABLE")


async def test_a_caller_without_tls_is_refused(folder: Path) -> None:
    await refused(identity(folder, "b"), None, says="UNAVAILABLE")


async def test_nobody_answers_under_another_name(folder: Path) -> None:
    """What `c` may do as itself it may not do as `b`."""
    await refused(identity(folder, "c"), identity(folder, "a"), says="Hostname Verification")


async def test_nobody_calls_under_another_name(folder: Path) -> None:
    """The shared secret is right, the certificate is of the same authority, but of `c`."""
    async with running(replace(listening("a"), identity=identity(folder, "b"))) as b:
        settings = replace(dialling("a", "b", await b.ready()), identity=identity(folder, "c"))
        async with running(settings) as a:
            await until(lambda: bool(a.trouble("b")))
            assert a.trouble("b") == "UNAUTHENTICATED: no such neighbour is expected"
            assert b.strangers > 0
            assert b.peers["a"].sessions == 0


def other_key(folder: Path, other: Path) -> None:
    (folder / "node.key").write_bytes((other / "node.key").read_bytes())


def other_authority(folder: Path, other: Path) -> None:
    (folder / "authority.pem").write_bytes((other / "authority.pem").read_bytes())


def open_key(folder: Path, other: Path) -> None:
    del other
    (folder / "node.key").chmod(0o640)


def damaged(folder: Path, other: Path) -> None:
    del other
    (folder / "node.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nno\n")


def missing(folder: Path, other: Path) -> None:
    del other
    (folder / "node.key").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (other_key, "is not the key of"),
        (other_authority, "is not of authority.pem"),
        (open_key, "chmod 600"),
        (damaged, "not PEM as it should be"),
        (missing, "sentinel-sim certificates a --out DIR"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_at_once(
    spoil: Callable[[Path, Path], None], words: str, strangers: Path, tmp_path: Path
) -> None:
    issue(tmp_path, ("a",))
    spoil(tmp_path / "a", strangers / "a")
    with pytest.raises(RequestError, match=re.escape(words)):
        identity(tmp_path, "a")


def test_a_folder_of_another_node_names_both(folder: Path) -> None:
    with pytest.raises(RequestError, match="is of b, this node is a; give --node b"):
        read_identity(folder / "b", "a")


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    issue(tmp_path, ("a",))
    before = (tmp_path / "a" / "node.pem").read_bytes()
    with pytest.raises(CertificateError, match="nothing was written"):
        issue(tmp_path, ("b", "a"))
    assert not (tmp_path / "b").exists()
    (renewed,) = issue(tmp_path, ("a",), renew=True)
    assert renewed.renewed
    assert (tmp_path / "a" / "node.pem").read_bytes() != before
    identity(tmp_path, "a")


def test_a_later_node_is_of_the_same_authority_and_keys_are_ours_alone(tmp_path: Path) -> None:
    issue(tmp_path, ("a",))
    issue(tmp_path, ("b",), days=1)
    assert identity(tmp_path, "a").authority == identity(tmp_path, "b").authority
    assert len({path.read_bytes() for path in tmp_path.glob("*/control.secret")}) == 1
    for path in tmp_path.rglob("*"):
        assert not path.stat().st_mode & 0o077, path


@pytest.mark.parametrize("names", [("authority",), ("a", "a"), ("a b",), ("../a",), ("",), ("-",)])
def test_names_that_cannot_be_a_nodes_are_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(CertificateError):
        issue(tmp_path, names)
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_that_has_run_out_says_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue(tmp_path, ("a",), days=3)

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(days=4)

    monkeypatch.setattr("sentinel_node.daemon.control.identity.datetime", Later)
    with pytest.raises(RequestError, match=r"is valid from .* --renew"):
        identity(tmp_path, "a")

"""Which kernel headers bcc gets, on made-up file trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel_bpf import headers
from sentinel_bpf.errors import BpfUnavailableError

RELEASE = "6.18.44-test"


@pytest.fixture(autouse=True)
def x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers.platform, "machine", lambda: "x86_64")


def install(sources: Path, *names: str) -> None:
    for name in names:
        (sources / name).mkdir(parents=True)


def test_without_packages_the_message_names_the_one_to_install(tmp_path: Path) -> None:
    with pytest.raises(BpfUnavailableError) as caught:
        headers.find_headers(RELEASE, modules=tmp_path / "m", sources=tmp_path / "s")
    assert caught.value.cure == "apt-get install -y linux-headers-amd64"


def test_half_a_pair_does_not_count(tmp_path: Path) -> None:
    install(tmp_path / "s", "linux-headers-6.1.0-56-amd64")
    with pytest.raises(BpfUnavailableError):
        headers.find_headers(RELEASE, modules=tmp_path / "m", sources=tmp_path / "s")


def test_newest_pair_wins_by_number_not_by_spelling(tmp_path: Path) -> None:
    sources = tmp_path / "s"
    for version in ("6.1.0-9", "6.1.0-56", "5.10.0-60"):
        install(sources, f"linux-headers-{version}-amd64", f"linux-headers-{version}-common")
    found = headers.find_headers(RELEASE, modules=tmp_path / "m", sources=sources)
    assert found.build.name == "linux-headers-6.1.0-56-amd64"
    assert found.source.name == "linux-headers-6.1.0-56-common"
    assert not found.linked
    assert not found.matching


def test_headers_of_the_running_kernel_win_over_newer_ones(tmp_path: Path) -> None:
    sources = tmp_path / "s"
    for version in ("6.1.0-40", "6.1.0-56"):
        install(sources, f"linux-headers-{version}-amd64", f"linux-headers-{version}-common")
    found = headers.find_headers("6.1.0-40-amd64", modules=tmp_path / "m", sources=sources)
    assert found.build.name == "linux-headers-6.1.0-40-amd64"
    assert found.matching


def test_cloud_flavour_shares_the_common_half(tmp_path: Path) -> None:
    sources = tmp_path / "s"
    install(sources, "linux-headers-6.1.0-56-cloud-amd64", "linux-headers-6.1.0-56-common")
    found = headers.find_headers(RELEASE, modules=tmp_path / "m", sources=sources)
    assert found.source.name == "linux-headers-6.1.0-56-common"


def test_other_architectures_do_not_count(tmp_path: Path) -> None:
    sources = tmp_path / "s"
    install(sources, "linux-headers-6.1.0-56-arm64", "linux-headers-6.1.0-56-common")
    with pytest.raises(BpfUnavailableError):
        headers.find_headers(RELEASE, modules=tmp_path / "m", sources=sources)


def test_linking_twice_is_harmless_and_repairs_a_dangling_link(tmp_path: Path) -> None:
    sources, modules = tmp_path / "s", tmp_path / "m"
    install(sources, "linux-headers-6.1.0-56-amd64", "linux-headers-6.1.0-56-common")
    (modules / RELEASE).mkdir(parents=True)
    (modules / RELEASE / "build").symlink_to(tmp_path / "removed")
    first = headers.link_headers(RELEASE, modules=modules, sources=sources)
    second = headers.link_headers(RELEASE, modules=modules, sources=sources)
    assert first == second
    assert first.linked
    assert (modules / RELEASE / "build").resolve() == sources / "linux-headers-6.1.0-56-amd64"
    assert (modules / RELEASE / "source").resolve() == sources / "linux-headers-6.1.0-56-common"


def test_existing_links_are_kept(tmp_path: Path) -> None:
    sources, modules = tmp_path / "s", tmp_path / "m"
    install(sources, "linux-headers-6.1.0-56-amd64", "linux-headers-6.1.0-56-common")
    install(tmp_path / "own", "build", "source")
    (modules / RELEASE).mkdir(parents=True)
    for half in ("build", "source"):
        (modules / RELEASE / half).symlink_to(tmp_path / "own" / half)
    found = headers.link_headers(RELEASE, modules=modules, sources=sources)
    assert found.build == tmp_path / "own" / "build"

"""Kernel headers for bcc on Debian: find them, and link them where bcc looks.

Debian splits the headers in two packages, and a cloud or test kernel often has none of its own.
bcc accepts the split layout only as /lib/modules/$(uname -r)/build (linux-headers-*-ARCH) together
with /lib/modules/$(uname -r)/source (linux-headers-*-common). Headers of another version serve XDP
and tc programs, whose context is a stable interface; they would not serve programs that read the
kernel's own structures, of which there are none here.

    python -m sentinel_bpf.headers           say what is there (exit 3 if bcc could not compile)
    python -m sentinel_bpf.headers --link    make the two links (as root; again is harmless)
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from sentinel_bpf.errors import BpfError, BpfUnavailableError

MODULES_ROOT = Path("/lib/modules")
SOURCES_ROOT = Path("/usr/src")
_DEBIAN_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}
_FLAVOUR = re.compile(r"linux-headers-(?P<version>\d.*)-(?P<arch>amd64|arm64)$")


@dataclass(frozen=True, slots=True)
class KernelHeaders:
    """The two halves of Debian's headers, and whether bcc will find them for `release`."""

    release: str
    """Of the running kernel, as `uname -r` says."""
    build: Path
    source: Path
    linked: bool
    matching: bool
    """The headers are of this very kernel."""


def _link_targets(release: str, modules: Path) -> tuple[Path, Path] | None:
    """Where `build` and `source` lead, if both lead to a directory."""
    build, source = modules / release / "build", modules / release / "source"
    if build.is_dir() and source.is_dir():
        return build.resolve(), source.resolve()
    return None


def _version_order(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", path.name))


def _split_packages(release: str, sources: Path) -> tuple[Path, Path] | None:
    """The best pair of installed header packages: this kernel's own, else the newest."""
    arch = _DEBIAN_ARCH.get(platform.machine())
    pairs = []
    for build in sources.glob("linux-headers-*"):
        match = _FLAVOUR.fullmatch(build.name)
        if match is None or match["arch"] != arch:
            continue
        # The common half carries the version without a flavour (cloud, rt): 6.1.0-56-common.
        version = re.sub(r"-(cloud|rt)$", "", match["version"])
        source = sources / f"linux-headers-{version}-common"
        if source.is_dir():
            pairs.append((build, source))
    if not pairs:
        return None
    own = [pair for pair in pairs if pair[0].name == f"linux-headers-{release}"]
    return own[0] if own else max(pairs, key=lambda pair: _version_order(pair[0]))


def find_headers(
    release: str | None = None, *, modules: Path = MODULES_ROOT, sources: Path = SOURCES_ROOT
) -> KernelHeaders:
    """The headers bcc would use, or could use once linked.

    Raises BpfUnavailableError, naming the package to install, if there are none.
    """
    release = release or platform.release()
    linked = _link_targets(release, modules)
    pair = linked or _split_packages(release, sources)
    if pair is None:
        arch = _DEBIAN_ARCH.get(platform.machine(), platform.machine())
        raise BpfUnavailableError(
            f"{sources}: no kernel headers for bcc (running kernel {release})",
            cure=f"apt-get install -y linux-headers-{arch}",
        )
    build, source = pair
    matching = build.name == f"linux-headers-{release}"
    return KernelHeaders(release, build, source, linked is not None, matching)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and not link.exists():
        link.unlink()  # it dangles: its package was removed or upgraded
    if link.exists():
        return
    link.symlink_to(target)


def link_headers(
    release: str | None = None, *, modules: Path = MODULES_ROOT, sources: Path = SOURCES_ROOT
) -> KernelHeaders:
    """Make the two links bcc needs; returns what they lead to. Existing links stay.

    Raises BpfUnavailableError without headers or without the right to write there.
    """
    found = find_headers(release, modules=modules, sources=sources)
    if found.linked:
        return found
    directory = modules / found.release
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _link(directory / "build", found.build)
        _link(directory / "source", found.source)
    except OSError as error:
        raise BpfUnavailableError(
            f"{directory}: cannot link the kernel headers: {error.strerror}",
            cure="as root: python -m sentinel_bpf.headers --link",
        ) from error
    return find_headers(release, modules=modules, sources=sources)


def headers_in_use() -> str:
    """Which headers bcc reads, as text that differs where they differ."""
    leads_to = (MODULES_ROOT / platform.release() / half for half in ("build", "source"))
    return "\0".join((os.environ.get("BCC_KERNEL_SOURCE", ""), *map(os.path.realpath, leads_to)))


def require_headers() -> None:
    """Raise BpfUnavailableError unless bcc will find headers for the running kernel."""
    if "BCC_KERNEL_SOURCE" in os.environ or Path("/sys/kernel/kheaders.tar.xz").exists():
        return
    if not find_headers().linked:
        raise BpfUnavailableError(
            f"{MODULES_ROOT / platform.release()}: the kernel headers are installed, but not "
            "where bcc looks",
            cure="as root: python -m sentinel_bpf.headers --link",
        )


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 0, or 3 when something is missing."""
    parser = argparse.ArgumentParser(prog="python -m sentinel_bpf.headers")
    parser.add_argument("--link", action="store_true", help="make the links bcc needs")
    options = parser.parse_args(arguments)
    try:
        found = link_headers() if options.link else find_headers()
    except BpfError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    state = "linked" if found.linked else "not linked: run with --link as root"
    sys.stdout.write(f"{found.release}: {found.build}, {found.source}: {state}\n")
    return 0 if found.linked else 3


if __name__ == "__main__":
    raise SystemExit(main())

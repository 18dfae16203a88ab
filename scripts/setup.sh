#!/usr/bin/env bash
# Everything `make run` and `make test` need, on Debian 12+ or Ubuntu 24.04+. Idempotent; about a
# second when all is there. See `make help`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=scripts/packages.sh
source scripts/packages.sh

PYTHON=/usr/bin/python3
VENV=.venv
STAMP=$VENV/.sentinel-setup
PACKAGES=(python3-bpfcc mininet iptables ethtool iproute2 iputils-ping procps util-linux kmod
    clang llvm libbpf-dev gcc libc6-dev python3 python3-venv make git)
# Nice to have; a distribution may not offer them under this name.
OPTIONAL_PACKAGES=(bpftool)

say() { printf 'setup: %s\n' "$*" >&2; }

# The running kernel's own headers if the archive has them, else the distribution's: those serve
# XDP and tc programs as well, whose context is a stable interface.
install_headers() {
    local candidate
    local -a candidates=("linux-headers-$(uname -r)" "linux-headers-$(dpkg --print-architecture)"
        linux-headers-generic)
    for candidate in "${candidates[@]}"; do
        if are_installed "$candidate"; then return 0; fi
    done
    # A new machine may have packages but no index of more; then nothing has a candidate.
    has_candidate linux-libc-dev || update_package_index
    for candidate in "${candidates[@]}"; do
        if has_candidate "$candidate"; then install_packages "$candidate"; return 0; fi
    done
}

install_debian_packages() {
    local package
    install_packages "${PACKAGES[@]}"
    for package in "${OPTIONAL_PACKAGES[@]}"; do
        if ! are_installed "$package" && has_candidate "$package"; then
            install_packages "$package"
        fi
    done
    install_headers
}

fingerprint() {
    { cat requirements.txt pyproject.toml scripts/setup.sh; "$PYTHON" --version; pwd; } | sha256sum
}

install_python_packages() {
    [[ -f $STAMP && $(<"$STAMP") == "$(fingerprint)" ]] && return 0
    say "virtual environment $VENV with the pinned Python packages (about a minute)"
    # First without the system's packages, so that pip installs every pin even where Debian has some
    # version of it; then with them, for bcc and mininet, which exist only there.
    "$PYTHON" -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check --no-deps -r requirements.txt
    "$VENV/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
    "$PYTHON" -m venv --system-site-packages "$VENV"
    "$VENV/bin/python" -c 'import mininet.net' || { say "mininet cannot be imported"; return 3; }
    fingerprint >"$STAMP"
}

link_kernel_headers() {
    "$VENV/bin/python" -m sentinel_bpf.headers >/dev/null 2>&1 && return 0
    say "linking the kernel headers where bcc looks for them"
    as_root "$PWD/$VENV/bin/python" -m sentinel_bpf.headers --link >&2
}

build_delay_line() {
    local program
    program=$("$VENV/bin/python" -m sentinel_sim.wire.build)
    [[ -x $program ]] || { say "the delay line was not built"; return 3; }
}

install_debian_packages
install_python_packages
link_kernel_headers
build_delay_line

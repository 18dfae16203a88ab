# Sourced by the set-up scripts: install Debian packages, only what is missing, asking no questions.
# shellcheck shell=bash

# Run a command as root; a user without root gets sudo, or the exact command to have run.
as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        printf 'this needs root; run as root, then try again:\n  %s\n' "$*" >&2
        return 3
    fi
}

_apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=120 "$@" >&2
}

_missing_packages() {
    local package
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            printf '%s\n' "$package"
    done
}

# Whether the archive (by the index we have) or this machine has the package.
has_candidate() {
    local policy
    policy=$(LC_ALL=C apt-cache policy "$1" 2>/dev/null)
    [[ $policy == *"Candidate: "[!\(]* ]]
}

_update_index() {
    printf 'refreshing the package index\n' >&2
    _apt_get update
}

# A fresh machine may have no package index at all; then nothing has a candidate.
ensure_package_index() {
    has_candidate linux-libc-dev || _update_index
}

# install_packages NAME...: quick and silent when all are there.
install_packages() {
    local -a missing
    local package
    mapfile -t missing < <(_missing_packages "$@")
    [[ ${#missing[@]} -gt 0 ]] || return 0
    printf 'installing Debian packages: %s\n' "${missing[*]}" >&2
    for package in "${missing[@]}"; do
        has_candidate "$package" || { _update_index; break; }
    done
    # An index that is out of date names files the archive no longer has.
    _apt_get install -y --no-install-recommends "${missing[@]}" && return 0
    _update_index
    _apt_get install -y --no-install-recommends "${missing[@]}"
}

# upgrade_package NAME: to the newest version the archive has.
upgrade_package() {
    _update_index
    _apt_get install -y --no-install-recommends "$1"
}

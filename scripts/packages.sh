# Sourced by the set-up scripts: install Debian packages, only what is missing, asking no questions.
# shellcheck shell=bash

_missing_packages() {
    local package
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            printf '%s\n' "$package"
    done
}

# Run apt-get as root; a user without root gets sudo, or the exact command to have run.
_apt_get() {
    local -a command=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0
        -o DPkg::Lock::Timeout=120 "$@")
    if [[ $EUID -eq 0 ]]; then
        "${command[@]}"
    elif command -v sudo >/dev/null; then
        sudo "${command[@]}"
    else
        printf 'missing privilege to install packages; run as root:\n  apt-get %s\n' "$*" >&2
        return 3
    fi
}

# install_packages NAME...: quick and silent when all are there.
install_packages() {
    local -a missing
    mapfile -t missing < <(_missing_packages "$@")
    [[ ${#missing[@]} -gt 0 ]] || return 0
    printf 'installing Debian packages: %s\n' "${missing[*]}" >&2
    # An index that is absent or out of date shows as a failed install: refresh it and try once more.
    if apt-cache policy "${missing[@]}" 2>/dev/null | grep -q 'Candidate: [^(]' &&
        _apt_get install -y --no-install-recommends "${missing[@]}" >&2; then
        return 0
    fi
    printf 'refreshing the package index\n' >&2
    _apt_get update >&2
    _apt_get install -y --no-install-recommends "${missing[@]}" >&2
}

# upgrade_package NAME: to the newest version the archive has.
upgrade_package() {
    _apt_get update >&2
    _apt_get install -y --no-install-recommends "$1" >&2
}

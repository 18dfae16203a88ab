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
    local installed package
    installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
    for package in "$@"; do
        [[ $'\n'$installed$'\n' == *$'\n'"$package installed"$'\n'* ]] || printf '%s\n' "$package"
    done
}

# Whether all of these are installed.
are_installed() {
    [[ -z $(_missing_packages "$@") ]]
}

# Whether the archive (by the index we have) or this machine has the package.
has_candidate() {
    local policy
    policy=$(LC_ALL=C apt-cache policy "$1" 2>/dev/null)
    [[ $policy == *"Candidate: "[!\(]* ]]
}

update_package_index() {
    printf 'refreshing the package index\n' >&2
    _apt_get update
}

# install_packages NAME...: quick and silent when all are there.
install_packages() {
    local -a missing
    local package
    mapfile -t missing < <(_missing_packages "$@")
    [[ ${#missing[@]} -gt 0 ]] || return 0
    printf 'installing Debian packages: %s\n' "${missing[*]}" >&2
    for package in "${missing[@]}"; do
        has_candidate "$package" || { update_package_index; break; }
    done
    # An index that is out of date names files the archive no longer has.
    _apt_get install -y --no-install-recommends "${missing[@]}" && return 0
    update_package_index
    _apt_get install -y --no-install-recommends "${missing[@]}"
}

# upgrade_package NAME: to the newest version the archive has.
upgrade_package() {
    update_package_index
    _apt_get install -y --no-install-recommends "$1"
}

# The browser that the test of the report's page drives. Some distributions have it only as a
# snap; there the test looks for one that is installed already.
install_browser() {
    command -v chromium google-chrome >/dev/null && return 0
    has_candidate chromium || update_package_index
    has_candidate chromium || { printf 'no chromium in the archive\n' >&2; return 0; }
    install_packages chromium
}

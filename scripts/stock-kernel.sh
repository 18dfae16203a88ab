#!/usr/bin/env bash
# Run a command as root under a stock Debian kernel, in QEMU, on this machine's own files.
#
#   scripts/stock-kernel.sh [--out DIR] [--time-limit SECONDS] [--memory MIB] -- COMMAND [ARG...]
#
# The guest sees this machine's file tree read-only; writes elsewhere than in DIR go to memory and
# are lost, the repository included. DIR (default: build/stock-kernel) is shared and writable: the
# guest finds its path in $SENTINEL_GUEST_OUT. It receives output.log (the command's output, also
# shown live), console.log (kernel and boot messages) and exit-status.
#
# Exit status: the command's own; 124 when the time limit ended the guest; 125 when the guest could
# not be prepared, or ended without giving a status (see console.log).
#
# The guest has one processor and a clock of its own (see VIRTUAL_TIME), which the time limit does not
# follow: that is this machine's.
#
# Nothing is installed as this machine's kernel and no boot loader is touched: the kernel package is
# unpacked in a cache folder (SENTINEL_STOCK_KERNEL_CACHE).
set -euo pipefail

REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${SENTINEL_STOCK_KERNEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sentinel-sim/stock-kernel}
OUT=$REPOSITORY/build/stock-kernel
TIME_LIMIT_S=600
MEMORY_MIB=4096

# The export that guest_preparation mounts: this machine's files, read-only.
HOST_FILES='-fsdev local,id=hostfiles,path=/,security_model=none,readonly=on,multidevs=remap'
HOST_FILES+=' -device virtio-9p-pci,fsdev=hostfiles,mount_tag=hostfiles'
# Without AVX: numpy's AVX2 sort crashes under the emulation of QEMU 7.2.
PROCESSOR='-cpu max,avx=off,avx2=off,f16c=off,fma=off'
# One processor whose clock counts its own instructions, one a nanosecond, and leaps over idle time:
# timers fire on the (virtual) instant however slow or busy this machine is. Measured with 2 x 25 ms
# of netem: RTT 50.03 +- 0.002 ms; by the host's clock it was 51 ms with a p99 of 54 to 58. Waiting
# for a file is idle time too, over which the clock would leap by whole seconds; so there is always
# something due soon: a tick (nohz=off) and a metronome of half a millisecond (guest_preparation).
VIRTUAL_TIME='-icount shift=0,sleep=off -rtc clock=vm'

say() { printf 'stock-kernel: %s\n' "$*" >&2; }
die() { say "$*"; exit 125; }

read_arguments() {
    while [[ $# -gt 0 ]]; do
        case $1 in
            --out) OUT=$2; shift 2 ;;
            --time-limit) TIME_LIMIT_S=$2; shift 2 ;;
            --memory) MEMORY_MIB=$2; shift 2 ;;
            --) shift; break ;;
            -*) die "unknown option $1; usage: stock-kernel.sh [--out DIR] [--time-limit S] [--memory MIB] -- COMMAND..." ;;
            *) break ;;
        esac
    done
    [[ $# -gt 0 ]] || die "no command given"
    COMMAND=("$@")
}

# The stock kernel whose headers are installed (bcc compiles against them in the guest).
kernel_of_headers() {
    local newest='' directory
    for directory in /usr/src/linux-headers-[0-9]*-amd64; do
        [[ -d $directory ]] || continue
        case $directory in *-cloud-amd64 | *-rt-amd64) continue ;; esac
        newest=$(printf '%s\n%s\n' "$newest" "${directory#/usr/src/linux-headers-}" | sort -V | tail -n 1)
    done
    [[ -n $newest ]] || die "no Debian kernel headers found; cure: apt-get install linux-headers-amd64"
    printf '%s\n' "$newest"
}

unpack_kernel() {
    local kernel=$1 target=$CACHE/$1 work version
    [[ -e $target/complete ]] && return 0
    say "downloading and unpacking linux-image-$kernel (once; about 400 MB in $CACHE)"
    mkdir -p "$CACHE"
    rm -rf "$target"
    work=$(mktemp -d "$CACHE/unpack-XXXXXX")
    version=$(dpkg-query -W -f '${Version}' "linux-headers-$kernel")
    (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "linux-image-$kernel=$version") ||
        { rm -rf "$work"; return 1; }
    dpkg-deb -x "$work"/linux-image-*.deb "$work"
    rm "$work"/linux-image-*.deb
    # What the headers package would add next to the modules; bcc needs both links.
    ln -sfn "/usr/src/linux-headers-$kernel" "$work/lib/modules/$kernel/build"
    ln -sfn "/usr/src/linux-headers-${kernel%-amd64}-common" "$work/lib/modules/$kernel/source"
    "$(command -v depmod || echo /sbin/depmod)" -b "$work" "$kernel"
    touch "$work/complete"
    mv "$work" "$target"
}

install_virtme() {
    local stamp=$CACHE/virtme/complete wanted
    wanted=$(sha256sum <"$REPOSITORY/requirements-stock-kernel.txt")
    [[ -e $stamp && $(<"$stamp") == "$wanted" ]] && return 0
    say "installing virtme-ng in a virtual environment of its own"
    rm -rf "$CACHE/virtme"
    /usr/bin/python3 -m venv "$CACHE/virtme"
    "$CACHE/virtme/bin/pip" install --quiet --disable-pip-version-check --no-deps \
        -r "$REPOSITORY/requirements-stock-kernel.txt"
    printf '%s\n' "$wanted" >"$stamp"
}

prepare() {
    # shellcheck source=scripts/packages.sh
    source "$REPOSITORY/scripts/packages.sh"
    install_packages qemu-system-x86 busybox-static kmod linux-headers-amd64
    KERNEL=$(kernel_of_headers)
    if ! unpack_kernel "$KERNEL"; then
        # The archive keeps only the newest build: bring headers and kernel to it together.
        say "linux-image-$KERNEL is no longer in the archive; upgrading the headers"
        upgrade_package linux-headers-amd64
        KERNEL=$(kernel_of_headers)
        unpack_kernel "$KERNEL" || die "could not download linux-image-$KERNEL"
    fi
    install_virtme
}

# The guest's first mount of this machine's files is uncached 9p: every import reads each library
# again. A second export of the same files, cached, goes over /usr and the repository.
guest_preparation() {
    cat <<'GUEST'
modules=$(readlink -f "/lib/modules/$(uname -r)")
mkdir -p /tmp/host /tmp/changes /tmp/out
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose hostfiles /tmp/host
mount --bind "$SENTINEL_GUEST_OUT" /tmp/out
mount --bind /tmp/host/usr /usr
mount -t tmpfs none /usr/lib/modules
ln -s "$modules" "/usr/lib/modules/$(uname -r)"
mount -t tmpfs none /tmp/changes
mkdir /tmp/changes/upper /tmp/changes/work
mount -t overlay -o "lowerdir=/tmp/host$repository,upperdir=/tmp/changes/upper,workdir=/tmp/changes/work" \
    repository "$repository"
# The repository's mount hides what was mounted below it.
mount --bind /tmp/out "$SENTINEL_GUEST_OUT"
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
ip link set lo up
# Every program reads some of /etc: keep it in memory.
cp -a /etc /tmp/etc
mount --bind /tmp/etc /etc
# The metronome: see VIRTUAL_TIME.
perl -e 'while (1) { select(undef, undef, undef, 0.0005) }' &
metronome=$!
trap 'kill $metronome' EXIT
GUEST
}

write_guest_script() {
    local variable
    {
        printf '#!/bin/bash\n'
        printf 'export SENTINEL_KEEP_AWAKE=0 SENTINEL_GUEST_OUT=%q SENTINEL_STOCK_KERNEL=%q\n' "$OUT" "$KERNEL"
        for variable in CI SENTINEL_REQUIRE_LAB; do
            [[ -z ${!variable:-} ]] || printf 'export %s=%q\n' "$variable" "${!variable}"
        done
        printf 'export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n'
        printf 'export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=%q\n' "$OUT/matplotlib"
        printf 'repository=%q\n' "$REPOSITORY"
        printf '(\nset -e\n%s\ncd "$repository"\n%s\n) >%q 2>&1 </dev/null\n' "$(guest_preparation)" \
            "$(printf '%q ' "${COMMAND[@]}")" "$OUT/output.log"
        printf 'echo $? >%q\nsync\n' "$OUT/exit-status"
    } >"$OUT/guest.sh"
    chmod +x "$OUT/guest.sh"
}

boot() {
    local status=0 tail_pid
    : >"$OUT/output.log"
    rm -f "$OUT/exit-status"
    tail -n +1 -f "$OUT/output.log" 2>/dev/null &
    tail_pid=$!
    # The emulated TSC is steady, and the emulated HPET costs microseconds a reading.
    # KVM is left alone on purpose: where it exists inside a virtual machine it may hang at boot,
    # and emulation gives the same result on every host.
    PATH=$CACHE/virtme/bin:$PATH timeout --kill-after=10 "$TIME_LIMIT_S" \
        "$CACHE/virtme/bin/vng" --run "$CACHE/$KERNEL/boot/vmlinuz-$KERNEL" \
        --disable-kvm --disable-monitor --force-9p --user root --name sentinel-guest \
        --memory "${MEMORY_MIB}M" --cpus 1 --cwd / --rwdir="$OUT" --verbose \
        --append tsc=reliable --append clocksource=tsc --append nohz=off \
        --qemu-opts="$HOST_FILES $PROCESSOR $VIRTUAL_TIME" \
        --exec "$OUT/guest.sh" >"$OUT/console.log" 2>&1 </dev/null || status=$?
    # One poll interval of tail, so that the last lines are shown.
    sleep 1.1
    kill "$tail_pid"
    wait "$tail_pid" 2>/dev/null || true
    [[ $status -ne 124 && $status -ne 137 ]] || { say "stopped after $TIME_LIMIT_S s"; return 124; }
    [[ -s $OUT/exit-status ]] || { tail -n 20 "$OUT/console.log" >&2; die "the guest gave no exit status"; }
    return "$(<"$OUT/exit-status")"
}

main() {
    local started status=0
    read_arguments "$@"
    mkdir -p "$OUT"
    OUT=$(cd "$OUT" && pwd)
    prepare
    write_guest_script
    started=$SECONDS
    say "booting Linux $KERNEL without KVM; console log: $OUT/console.log"
    boot || status=$?
    say "guest ended with status $status after $((SECONDS - started)) s"
    exit "$status"
}

main "$@"

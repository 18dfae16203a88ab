"""Kernel TCP settings of each arm, per network namespace; the host's are never touched."""

from __future__ import annotations

from sentinel_sim.errors import InfeasibleError
from sentinel_sim.plan.model import Arm, RunSpec

STOCK_RMEM = (4096, 131_072, 6_291_456)
STOCK_WMEM = (4096, 16_384, 4_194_304)
"""The stock profile (design: section 5): what most Linux hosts have had for years."""

TUNED_FLOOR_BYTES = 16 * 2**20
TUNED_BDPS = 8
"""Of the buffer's memory a half or less is window (tcp_adv_win_scale, skb overhead), and the
window must cover a BDP in flight and a BDP in the queue; 8 leaves recovery as much again."""

BUFFER_LIMIT_BYTES = 2**31 - 1
"""sk_rcvbuf and sk_sndbuf are C ints."""


def _memory(triple: tuple[int, int, int]) -> str:
    return " ".join(str(value) for value in triple)


def tuned_buffer_bytes(bdp_bytes: int) -> int:
    """Largest socket buffer for a path (or link) of this bandwidth-delay product."""
    wanted = max(TUNED_BDPS * bdp_bytes, TUNED_FLOOR_BYTES)
    if wanted > BUFFER_LIMIT_BYTES:
        raise InfeasibleError(
            f"a bandwidth-delay product of {bdp_bytes / 1e6:.0f} MB needs socket buffers of"
            f" {wanted / 1e6:.0f} MB; the kernel's limit is {BUFFER_LIMIT_BYTES / 1e6:.0f} MB"
        )
    return wanted


def _bdp_bytes(spec: RunSpec) -> int:
    """What one connection must cover: the path, or in `split` and `fsu` its longest link."""
    if spec.arm.splits:
        return max(
            link.rate_bps * 2 * link.delay_one_way_ns // 8_000_000_000 for link in spec.links
        )
    return max(path.bdp_bytes for path in spec.paths)


Triple = tuple[int, int, int]


def buffers(spec: RunSpec) -> tuple[Triple, Triple]:
    """(tcp_rmem, tcp_wmem) of every node for this run: least, first and largest buffer, bytes."""
    if spec.arm is Arm.DIRECT:
        return STOCK_RMEM, STOCK_WMEM
    top = tuned_buffer_bytes(_bdp_bytes(spec))
    return (4096, 131_072, top), (4096, 65_536, top)


def node_sysctls(spec: RunSpec) -> list[str]:
    """`key=value` settings of every node's namespace for this run.

    The congestion control is not among them: it is a socket option of the daemons, since only
    the host's own namespace may set a restricted algorithm as default.
    """
    rmem, wmem = buffers(spec)
    return [
        f"net.ipv4.tcp_rmem={_memory(rmem)}",
        f"net.ipv4.tcp_wmem={_memory(wmem)}",
        "net.ipv4.tcp_no_metrics_save=1",
        "net.ipv4.tcp_timestamps=1",
        "net.ipv4.tcp_sack=1",
        "net.ipv4.tcp_window_scaling=1",
        "net.ipv4.tcp_slow_start_after_idle=1",
        "net.ipv4.ip_forward=1",
        "net.ipv4.conf.all.rp_filter=0",
        "net.ipv4.conf.default.rp_filter=0",
        "net.ipv4.icmp_ratelimit=0",
    ]

"""Settings of a loaded FSU that can be changed while it runs: flood guard and idle time."""

from __future__ import annotations

from sentinel_bpf import abi, maps
from sentinel_bpf.errors import BpfError


def configure(
    fd: int,
    *,
    new_flows_per_s: int = abi.NEW_FLOWS_PER_S,
    flow_idle_ns: int = abi.FLOW_IDLE_NS,
) -> None:
    """Write fsu_config: new flows per second on each CPU, and the silence that ends a flow.

    The silence is for flows without SYN, and at least 2**30 ns. Raises BpfError.
    """
    if new_flows_per_s < 1 or flow_idle_ns < 1 << 30:
        raise BpfError(
            "the FSU takes at least 1 new flow per second and an idle time of at least "
            f"{1 << 30} ns, got {new_flows_per_s} and {flow_idle_ns}"
        )
    maps.update(fd, maps.index_key(0), bytes(abi.Config(new_flows_per_s, flow_idle_ns)))

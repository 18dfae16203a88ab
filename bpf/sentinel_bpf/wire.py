"""The kernel's part of a wire in one direction: the loss stage, and the probes at its two ends."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sentinel_bpf import abi, maps
from sentinel_bpf.errors import BpfError
from sentinel_bpf.loader import CompiledSource, ProgramSet
from sentinel_bpf.loss import check_seed, loss_threshold, splitmix64

SAMPLE_ONE_IN_8 = 7
_FIRST = maps.index_key(0)


@dataclass(frozen=True, slots=True)
class LossReading:
    """What a loss stage did since it was configured; wire packets."""

    seen: int
    dropped: int


@dataclass(frozen=True, slots=True)
class ProbeReading:
    """What the probes of one direction saw since `reset`.

    Packets are wire packets (a GSO packet counts as its segments); traffic of the link itself
    (ARP, neighbour discovery) is in none of the figures.
    """

    packets_in: int
    packets_out: int
    bytes_in: int
    """Layer 2, each wire packet with its own headers."""
    bytes_out: int
    skbs_in: int
    """As the kernel carried them: packets_in / skbs_in is the mean number of segments."""
    skbs_out: int
    transits_ns: list[int]
    """Sorted transit times: all of them, or a uniform sample of all if there were too many."""
    samples_total: int
    """How many transit times were measured."""
    transit_max_ns: int
    """The largest of all that were measured, kept or not."""
    misses: int
    """Left the wire in the sampled class without a stamp: entered before the reset, cut from a
    larger packet inside the wire, or forgotten because too many stamps were in flight."""
    ambiguous: int
    """Two packets with equal keys were inside at once: neither was measured."""


class LossStage:
    """Seeded loss in one direction; drops by XDP on the interface where packets enter."""

    PROGRAM = "wire_loss"

    def __init__(self, compiled: CompiledSource) -> None:
        self._programs: ProgramSet = compiled.instantiate([self.PROGRAM])

    @property
    def xdp_fd(self) -> int:
        """The program to attach (natively)."""
        return self._programs.prog_fd(self.PROGRAM)

    def configure(self, seed: int, probability: float) -> None:
        """Set the loss per wire packet and start the pattern of `seed` from its beginning.

        Raises BpfError unless 0 <= probability < 1 and the seed fits 64 bits. Call it while no
        packet passes: the two maps are not written at once.
        """
        config = abi.WireLossConfig(check_seed(seed), loss_threshold(probability))
        maps.update(self._programs.map_fd("wire_loss_config"), _FIRST, bytes(config))
        maps.update(self._programs.map_fd("wire_loss_state"), _FIRST, bytes(abi.WireLossState()))

    def change(self, seed: int, probability: float) -> None:
        """Another loss from now on, while packets pass; the pattern and the counts go on.

        Raises BpfError as `configure`, which must have been called with the same seed.
        """
        config = abi.WireLossConfig(check_seed(seed), loss_threshold(probability))
        maps.update(self._programs.map_fd("wire_loss_config"), _FIRST, bytes(config))

    def read(self) -> LossReading:
        """Packets seen and dropped since `configure`."""
        raw = maps.lookup(self._programs.map_fd("wire_loss_state"), _FIRST)
        if raw is None:
            raise BpfError("the state of a loss stage cannot be read")
        state = abi.WireLossState.from_buffer_copy(raw)
        return LossReading(int(state.seen), int(state.dropped))

    def close(self) -> None:
        """Close the descriptors; an attached program stays attached until its link is closed."""
        self._programs.close()


@dataclass(frozen=True, slots=True)
class FaultReading:
    """What a fault stage did since `reset`."""

    cut_packets: int
    """Wire packets that found the link, or its control channel, cut."""
    control_packets: int
    """Marked for the control band, with TCP payload, while some were to be corrupted."""
    corrupted: int


class FaultStage:
    """Cuts one direction of a wire where the node's packets come to it, or corrupts some of them.

    One write of a map, so a fault begins and ends between two packets.
    """

    PROGRAM = "wire_fault"

    def __init__(self, compiled: CompiledSource) -> None:
        self._programs: ProgramSet = compiled.instantiate([self.PROGRAM])

    @property
    def tc_fd(self) -> int:
        """The program to attach."""
        return self._programs.prog_fd(self.PROGRAM)

    def set(self, cut: int, corrupt: float = 0.0, seed: int = 0) -> None:
        """`cut`: 0 nothing, 1 what is marked for the control band, 2 all. `corrupt`: share of the
        marked TCP packets with payload in which one bit is turned, checksum kept right.

        Raises BpfError for a share outside [0, 1) or a seed that does not fit 64 bits.
        """
        threshold = loss_threshold(corrupt) >> 32
        config = abi.WireFaultConfig(cut, threshold, check_seed(seed))
        maps.update(self._programs.map_fd("wire_fault_config"), _FIRST, bytes(config))

    def reset(self) -> None:
        """Let everything pass, and count from zero."""
        self.set(0)
        maps.update(self._programs.map_fd("wire_fault_state"), _FIRST, bytes(abi.WireFaultState()))

    def read(self) -> FaultReading:
        """Counts since `reset`."""
        raw = maps.lookup(self._programs.map_fd("wire_fault_state"), _FIRST)
        if raw is None:
            raise BpfError("the state of a fault stage cannot be read")
        state = abi.WireFaultState.from_buffer_copy(raw)
        return FaultReading(*(int(getattr(state, name)) for name, _ in state._fields_))

    def close(self) -> None:
        """Close the descriptors; attached filters stay until they are detached."""
        self._programs.close()


class WireProbes:
    """Independent stamps at the two ends of one direction of a wire (tc programs)."""

    ENTER = "wire_enter"
    LEAVE = "wire_leave"

    def __init__(
        self,
        compiled: CompiledSource,
        *,
        stamps_max: int = abi.WIRE_STAMPS_MAX,
        transits_max: int = abi.WIRE_TRANSITS_MAX,
    ) -> None:
        """`stamps_max`: sampled packets in flight; `transits_max`: kept, on each CPU."""
        self._slots = transits_max
        self._epoch = 0
        self._mask = SAMPLE_ONE_IN_8
        self._programs: ProgramSet = compiled.instantiate(
            [self.ENTER, self.LEAVE],
            max_entries={
                "wire_stamps": stamps_max,
                "wire_transits": transits_max * maps.possible_cpus(),
            },
        )
        self.configure(SAMPLE_ONE_IN_8)

    @property
    def enter_fd(self) -> int:
        """The tc program for the end where packets enter."""
        return self._programs.prog_fd(self.ENTER)

    @property
    def leave_fd(self) -> int:
        """The tc program for the end where packets leave."""
        return self._programs.prog_fd(self.LEAVE)

    def configure(self, sample_mask: int) -> None:
        """Sample one packet in `sample_mask` + 1 (a power of two less one), and reset."""
        if not (0 <= sample_mask < 2**32 and sample_mask & (sample_mask + 1) == 0):
            raise BpfError(
                f"a sample mask is a power of two less one (7 is one in eight), got {sample_mask}"
            )
        self._mask = sample_mask
        self.reset()

    def reset(self) -> None:
        """Forget all counts and transits. Packets inside now will count as misses."""
        self._epoch += 1
        config = abi.WireProbeConfig(self._mask, self._epoch % 2**32, self._slots, 0)
        maps.update(self._programs.map_fd("wire_probe_config"), _FIRST, bytes(config))
        for name in ("wire_enter_state", "wire_leave_state", "wire_transit_state"):
            fd = self._programs.map_fd(name)
            maps.update(fd, _FIRST, bytes(maps.shape(fd).transfer_bytes))

    def read(self) -> ProbeReading:
        """Everything since the last reset."""
        entered = self._sum("wire_enter_state", abi.WireEndState)
        left = self._sum("wire_leave_state", abi.WireEndState)
        per_cpu = self._per_cpu("wire_transit_state", abi.WireTransitState)
        transits = merge_samples(self._transits(per_cpu), [int(cpu.samples) for cpu in per_cpu])
        return ProbeReading(
            packets_in=entered["packets"],
            packets_out=left["packets"],
            bytes_in=entered["bytes"],
            bytes_out=left["bytes"],
            skbs_in=entered["skbs"],
            skbs_out=left["skbs"],
            transits_ns=np.sort(transits).tolist(),
            samples_total=sum(int(cpu.samples) for cpu in per_cpu),
            transit_max_ns=max(int(cpu.max_ns) for cpu in per_cpu),
            misses=sum(int(cpu.misses) for cpu in per_cpu),
            ambiguous=sum(int(cpu.ambiguous) for cpu in per_cpu),
        )

    def close(self) -> None:
        """Close the descriptors; attached filters stay until they are detached."""
        self._programs.close()

    def _per_cpu(self, name: str, kind: type[ctypes.Structure]) -> list[ctypes.Structure]:
        values = maps.lookup_per_cpu(self._programs.map_fd(name), _FIRST)
        return [kind.from_buffer_copy(value) for value in values]

    def _sum(self, name: str, kind: type[ctypes.Structure]) -> dict[str, int]:
        per_cpu = self._per_cpu(name, kind)
        return {
            entry[0]: sum(int(getattr(cpu, entry[0])) for cpu in per_cpu) for entry in kind._fields_
        }

    def _transits(self, states: list[ctypes.Structure]) -> list[npt.NDArray[np.uint64]]:
        """The kept transit times of each CPU, in the order of their slots."""
        fd = self._programs.map_fd("wire_transits")
        kept = [min(int(state.samples), self._slots) for state in states]
        return [
            np.frombuffer(maps.array_values(fd, count, cpu * self._slots), np.uint64)
            for cpu, count in enumerate(kept)
        ]


def merge_samples(kept: list[npt.NDArray[np.uint64]], totals: list[int]) -> npt.NDArray[np.uint64]:
    """One uniform sample out of those of several CPUs: kept[i] stands for totals[i] values.

    A CPU that kept a larger share of what it measured gives up some, chosen by a fixed hash, so
    that each value measured had the same chance.
    """
    shares = [len(part) / total for part, total in zip(kept, totals, strict=True) if total]
    share = min(shares, default=1.0)
    if share == 1.0:
        return np.concatenate(kept)
    parts = []
    for cpu, (part, total) in enumerate(zip(kept, totals, strict=True)):
        order = np.argsort(splitmix64(cpu, np.arange(len(part), dtype=np.uint64)))
        parts.append(part[order[: round(total * share)]])
    return np.concatenate(parts)

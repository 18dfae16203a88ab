"""Bytes in bins of equal length, at one end of a wire's rate stage (a tc program of its own)."""

from __future__ import annotations

import numpy as np

from sentinel_bpf import abi, maps
from sentinel_bpf.errors import BpfError
from sentinel_bpf.loader import CompiledSource, ProgramSet


class ByteBins:
    """Counts what passes, from a moment on; one instance for each place and run."""

    PROGRAM = "wire_count_bytes"

    def __init__(self, compiled: CompiledSource, *, start_ns: int, bin_ns: int) -> None:
        """`start_ns`: of the first bin, CLOCK_MONOTONIC. Raises BpfError."""
        if start_ns < 0 or bin_ns <= 0:
            raise BpfError(f"bins have a beginning and a length, got {start_ns} and {bin_ns} ns")
        self._programs: ProgramSet = compiled.instantiate([self.PROGRAM])
        config = abi.WireBinsConfig(start_ns, bin_ns)
        maps.update(self._programs.map_fd("wire_bins_config"), maps.index_key(0), bytes(config))

    @property
    def tc_fd(self) -> int:
        """The program to attach."""
        return self._programs.prog_fd(self.PROGRAM)

    def read(self, count: int) -> tuple[int, ...]:
        """Bytes (layer 2, each wire packet with its own headers) in each of the first `count` bins.

        Raises BpfError beyond `abi.WIRE_BINS_MAX`.
        """
        if not 0 < count <= abi.WIRE_BINS_MAX:
            raise BpfError(f"there are {abi.WIRE_BINS_MAX} bins, got {count}")
        raw = maps.array_values(self._programs.map_fd("wire_bins"), count)
        return tuple(np.frombuffer(raw, np.uint64).tolist())

    def close(self) -> None:
        """Close the descriptors; attached filters stay until they are detached."""
        self._programs.close()

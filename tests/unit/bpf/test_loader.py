"""Instructions are patched where they name a map, and only there."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from sentinel_bpf.compiled import find_map_references, patch_map_references
from sentinel_bpf.errors import BpfError
from sentinel_bpf.loader import ProgramSet
from sentinel_bpf.wire import merge_samples

LOAD_MAP_3 = struct.pack("<BBhi", 0x18, 0x11, 0, 3) + struct.pack("<BBhi", 0, 0, 0, 0)
LOAD_MAP_9 = struct.pack("<BBhi", 0x18, 0x12, 0, 9) + struct.pack("<BBhi", 0, 0, 0, 0)
# A 64-bit constant whose upper half looks like an instruction that names a map.
LOAD_CONSTANT = struct.pack("<BBhi", 0x18, 0x01, 0, 3) + struct.pack("<BBhi", 0, 0, 0, 0x1118)
MOVE = struct.pack("<BBhi", 0xB7, 0, 0, 2)
EXIT = struct.pack("<BBhi", 0x95, 0, 0, 0)


def test_references_are_found_with_their_descriptors() -> None:
    code = MOVE + LOAD_MAP_3 + LOAD_CONSTANT + LOAD_MAP_9 + EXIT
    assert find_map_references(code) == [(1, 3), (5, 9)]


def test_patching_changes_the_descriptor_and_nothing_else() -> None:
    code = MOVE + LOAD_MAP_3 + LOAD_CONSTANT + LOAD_MAP_9 + EXIT
    patched = patch_map_references(code, {1: 70, 5: 71})
    assert find_map_references(patched) == [(1, 70), (5, 71)]
    assert patch_map_references(patched, {1: 3, 5: 9}) == code


def test_a_closed_set_says_so() -> None:
    with pytest.raises(BpfError, match="closed"):
        ProgramSet().map_fd("flow_metrics_map")


def test_samples_that_are_complete_are_all_kept() -> None:
    parts = [np.arange(3, dtype=np.uint64), np.arange(5, dtype=np.uint64)]
    assert len(merge_samples(parts, [3, 5])) == 8


def test_a_cpu_that_kept_all_gives_up_as_many_as_the_others_lost() -> None:
    crowded, quiet = np.full(100, 1, np.uint64), np.full(100, 2, np.uint64)
    merged = merge_samples([crowded, quiet], [1000, 100])
    assert np.count_nonzero(merged == 1) == 100
    assert np.count_nonzero(merged == 2) == 10


def test_no_samples_give_an_empty_list() -> None:
    empty = np.empty(0, np.uint64)
    assert merge_samples([empty, empty], [0, 0]).tolist() == []

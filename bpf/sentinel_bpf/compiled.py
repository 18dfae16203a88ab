"""What a compilation yields, as plain data: it outlives bcc's module and fits into a file."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from sentinel_bpf.syscalls import MapInfo

_LOAD_MAP = 0x18  # BPF_LD | BPF_DW | BPF_IMM: a 64-bit constant in two instructions
_PSEUDO_MAP_FD = 1  # its source register says: the constant is a map descriptor
_INSTRUCTION = struct.Struct("<BBhi")
INSTRUCTION_BYTES = _INSTRUCTION.size


class ProgramType(IntEnum):
    """The kernel's program types used here (enum bpf_prog_type)."""

    TC = 3
    XDP = 6


@dataclass(frozen=True, slots=True)
class CompiledProgram:
    """One function's instructions, and which of them name a map."""

    name: str
    kind: ProgramType
    instructions: bytes
    relocations: tuple[tuple[int, str], ...]
    """(instruction index, map name)."""


@dataclass(frozen=True, slots=True)
class CompiledObject:
    """Programs, map definitions and type information (BTF) of one source."""

    programs: Mapping[str, CompiledProgram]
    maps: Mapping[str, bytes]
    """By name: a `MapInfo`, byte for byte, as the kernel gave it for the map that bcc made."""
    btf: Mapping[int, bytes]
    """Raw BTF by the `btf_id` that stands in the map definitions."""

    def map_info(self, name: str) -> MapInfo:
        """A map's definition. Raises KeyError."""
        return MapInfo.from_buffer_copy(self.maps[name])

    def to_json(self) -> str:
        """For a file; `from_json` reads it."""
        return json.dumps(
            {
                "programs": [
                    [one.name, int(one.kind), _text(one.instructions), list(one.relocations)]
                    for one in self.programs.values()
                ],
                "maps": {name: _text(info) for name, info in self.maps.items()},
                "btf": {str(number): _text(raw) for number, raw in self.btf.items()},
            }
        )

    @classmethod
    def from_json(cls, text: str) -> CompiledObject:
        """Raises ValueError, KeyError or TypeError if it was not written by `to_json`."""
        document = json.loads(text)
        programs = {
            str(name): CompiledProgram(
                str(name),
                ProgramType(kind),
                _bytes(code),
                tuple((int(index), str(of)) for index, of in relocations),
            )
            for name, kind, code, relocations in document["programs"]
        }
        maps = {str(name): _bytes(info) for name, info in document["maps"].items()}
        return cls(programs, maps, {int(n): _bytes(raw) for n, raw in document["btf"].items()})


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def find_map_references(code: bytes) -> list[tuple[int, int]]:
    """(instruction index, descriptor) of every instruction that names a map."""
    found = []
    index = 0
    while index < len(code) // INSTRUCTION_BYTES:
        opcode, registers, _, constant = _INSTRUCTION.unpack_from(code, index * INSTRUCTION_BYTES)
        if opcode == _LOAD_MAP:
            if registers >> 4 == _PSEUDO_MAP_FD:
                found.append((index, constant))
            index += 1
        index += 1
    return found


def patch_map_references(code: bytes, descriptors: Mapping[int, int]) -> bytes:
    """`code` with the descriptor at each instruction index replaced."""
    patched = bytearray(code)
    for index, descriptor in descriptors.items():
        offset = index * INSTRUCTION_BYTES
        opcode, registers, displacement, _ = _INSTRUCTION.unpack_from(patched, offset)
        _INSTRUCTION.pack_into(patched, offset, opcode, registers, displacement, descriptor)
    return bytes(patched)

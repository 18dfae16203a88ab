"""Compile a BPF source once with bcc, then load it as often as needed, each time with own maps.

bcc takes a second and more, once for each version of a source on a host (object_cache.py), and
changes the working directory of the process meanwhile: compile before threads or an event loop
start, or in a process of its own (compiling.py). An instance is the same instructions with the map
references pointing to maps of its own; it costs what the verifier takes (0.1 s for the FSU).

The only module that imports bcc, and only when asked to compile.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol

from sentinel_bpf import object_cache, syscalls
from sentinel_bpf.compiled import (
    INSTRUCTION_BYTES,
    CompiledObject,
    CompiledProgram,
    ProgramType,
    find_map_references,
    patch_map_references,
)
from sentinel_bpf.errors import BpfError, BpfUnavailableError
from sentinel_bpf.headers import require_headers

LICENSE = "Dual BSD/GPL"
FLOW_SOURCE = Path(__file__).with_name("flow_math.c")
WIRE_SOURCE = Path(__file__).with_name("wire.c")
DRIVE_SOURCE = Path(__file__).with_name("fsu_drive.c")


class _BccModule(Protocol):
    """What is used of bcc.BPF."""

    module: int

    def dump_func(self, name: bytes) -> bytes: ...

    def cleanup(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ProgramStats:
    """What the kernel says of a loaded program."""

    name: str
    verified_instructions: int
    """Steps the verifier took; 0 before Linux 5.16."""
    translated_instructions: int
    jited_bytes: int
    run_time_ns: int
    """Zero unless the sysctl kernel.bpf_stats_enabled is on."""
    run_count: int


def program_stats(fd: int) -> ProgramStats:
    """What the kernel says of the program behind `fd`."""
    info = syscalls.ProgInfo()
    syscalls.obj_info(fd, info)
    return ProgramStats(
        name=info.name.decode(),
        verified_instructions=int(info.verified_insns),
        translated_instructions=int(info.xlated_prog_len) // INSTRUCTION_BYTES,
        jited_bytes=int(info.jited_prog_len),
        run_time_ns=int(info.run_time_ns),
        run_count=int(info.run_cnt),
    )


@dataclass(slots=True)
class ProgramSet:
    """Loaded programs with maps of their own; owns the descriptors until `close`.

    Attached programs live on without it: an attachment holds its program, a program its maps.
    """

    _programs: dict[str, int] = field(default_factory=dict)
    _maps: dict[str, int] = field(default_factory=dict)

    def prog_fd(self, name: str) -> int:
        """The descriptor of a program. Raises BpfError for one that was not loaded."""
        return self._get(self._programs, "program", name)

    def map_fd(self, name: str) -> int:
        """The descriptor of a map. Raises BpfError for one that no loaded program uses."""
        return self._get(self._maps, "map", name)

    def map_names(self) -> list[str]:
        """The maps its programs use, in alphabetical order."""
        return sorted(self._maps)

    def stats(self) -> list[ProgramStats]:
        """What the kernel says of each program."""
        return [program_stats(fd) for fd in self._programs.values()]

    def close(self) -> None:
        """Close all descriptors; harmless a second time."""
        for table in (self._programs, self._maps):
            while table:
                os.close(table.popitem()[1])

    def __enter__(self) -> ProgramSet:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @staticmethod
    def _get(table: dict[str, int], what: str, name: str) -> int:
        try:
            return table[name]
        except KeyError:
            known = ", ".join(sorted(table)) or "none (closed)"
            raise BpfError(f"no {what} {name!r} in this set; there are: {known}") from None


class CompiledSource:
    """The programs and map definitions of one source, ready to be instantiated."""

    def __init__(self, path: Path, compiled: CompiledObject) -> None:
        """Raises BpfError if the kernel does not take the type information."""
        self.path = path
        self.compiled = compiled
        self._btf_fds = {number: syscalls.btf_load(raw) for number, raw in compiled.btf.items()}

    @classmethod
    def compile(
        cls, path: Path, cflags: Sequence[str] = (), *, programs: Mapping[str, ProgramType]
    ) -> CompiledSource:
        """Compile with bcc, unless that was done before (see object_cache.py).

        `programs` names the functions that are programs, with their types. Raises
        BpfUnavailableError without bcc, headers or privilege, BpfError if it does not compile.
        """
        return Recipe(path, programs, tuple(cflags)).compile()

    def instantiate(
        self,
        names: Iterable[str] | None = None,
        *,
        max_entries: Mapping[str, int] | None = None,
        share: Mapping[str, int] | None = None,
    ) -> ProgramSet:
        """Load programs (`names`, else all) with fresh maps that they share among themselves.

        `max_entries` overrides the sizes of maps, by name; `share` gives descriptors of maps to
        use instead of fresh ones (they stay the caller's). Safe to call from several threads at
        once: the verifier of one program runs beside that of another. Raises VerifierError if the
        kernel refuses a program, BpfError for an unknown name; nothing stays open then.
        """
        known = self.compiled.programs
        chosen = [self._program(name) for name in (known if names is None else names)]
        wanted = {name for program in chosen for _, name in program.relocations}
        sizes, given = dict(max_entries or {}), dict(share or {})
        if unknown := (sizes.keys() | given.keys()) - wanted:
            raise BpfError(
                f"{self.path.name}: no map {', '.join(sorted(unknown))} to give or size; "
                f"there are: {', '.join(sorted(wanted))}"
            )
        programs: dict[str, int] = {}
        maps: dict[str, int] = {}
        made = ProgramSet(programs, maps)
        try:
            for name in sorted(wanted):
                maps[name] = (
                    os.dup(given[name])
                    if name in given
                    else self._create_map(name, sizes.get(name))
                )
            for program in chosen:
                targets = {index: maps[name] for index, name in program.relocations}
                code = patch_map_references(program.instructions, targets)
                programs[program.name] = syscalls.prog_load(
                    program.kind, code, program.name, license_name=LICENSE
                )
        except BpfError:
            made.close()
            raise
        return made

    def _program(self, name: str) -> CompiledProgram:
        try:
            return self.compiled.programs[name]
        except KeyError:
            known = ", ".join(sorted(self.compiled.programs))
            raise BpfError(f"{self.path.name}: no program {name!r}; there are: {known}") from None

    def _create_map(self, name: str, max_entries: int | None) -> int:
        info = self.compiled.map_info(name)
        return syscalls.map_create(
            info,
            name,
            max_entries=int(info.max_entries) if max_entries is None else max_entries,
            btf_fd=self._btf_fds.get(int(info.btf_id)),
        )

    def close(self) -> None:
        """Close what the compilation keeps open; its instances stay. Harmless a second time."""
        while self._btf_fds:
            os.close(self._btf_fds.popitem()[1])

    def __enter__(self) -> CompiledSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that makes a compilation."""

    path: Path
    """The source; what it includes lies beside it."""
    programs: Mapping[str, ProgramType]
    """The functions that are programs."""
    cflags: tuple[str, ...] = ()
    text: str | None = None
    """Instead of the file's own; made of files that lie beside it, and of nothing else."""

    def cached(self) -> CompiledSource | None:
        """What was compiled before (see object_cache.py), if it was."""
        compiled = object_cache.read(self._key())
        return None if compiled is None else CompiledSource(self.path, compiled)

    def compile(self) -> CompiledSource:
        """Compile with bcc unless that was done before. Raises as `CompiledSource.compile`."""
        found = self.cached()
        if found is not None:
            return found
        if self.text is None:
            compiled = compile_with_bcc(self.path, self._flags(), self.programs)
        else:
            with tempfile.TemporaryDirectory() as directory:
                path = Path(directory) / self.path.name
                path.write_text(self.text, encoding="ascii")
                compiled = compile_with_bcc(path, self._flags(), self.programs)
        object_cache.write(self._key(), compiled)
        return CompiledSource(self.path, compiled)

    def _flags(self) -> list[str]:
        return [f"-I{self.path.parent}", *self.cflags]

    def _key(self) -> str:
        return object_cache.key_of(self.path, self.cflags, self.programs)


def compile_with_bcc(
    path: Path, cflags: Sequence[str], programs: Mapping[str, ProgramType]
) -> CompiledObject:
    """Let bcc compile, and copy out all that is needed. Raises as `CompiledSource.compile`."""
    bpf_class = _import_bcc()
    require_headers()
    # bcc warns about str where it wants bytes, except in cflags.
    try:
        module = bpf_class(src_file=os.fsencode(path), cflags=list(cflags))
    except Exception as error:
        if type(error) is not Exception:  # bcc raises exactly this class
            raise
        raise _compile_error(path, error) from error
    try:
        return _extract(module, programs)
    finally:
        module.cleanup()


def _extract(module: _BccModule, programs: Mapping[str, ProgramType]) -> CompiledObject:
    maps: dict[str, bytes] = {}
    by_fd: dict[int, str] = {}
    btf: dict[int, bytes] = {}
    for name, descriptor in _bcc_tables(module):
        info = syscalls.MapInfo()
        syscalls.obj_info(descriptor, info)
        maps[name] = bytes(info)
        by_fd[descriptor] = name
        if info.btf_id and info.btf_id not in btf:
            btf[int(info.btf_id)] = syscalls.btf_raw(int(info.btf_id))
    extracted = {}
    for name, kind in programs.items():
        code = module.dump_func(name.encode())
        relocations = tuple(
            (index, by_fd[descriptor]) for index, descriptor in find_map_references(code)
        )
        extracted[name] = CompiledProgram(name, kind, code, relocations)
    return CompiledObject(extracted, maps, btf)


def _import_bcc() -> Callable[..., _BccModule]:
    try:
        from bcc import BPF
    except ImportError as error:
        raise BpfUnavailableError(
            "the Python module bcc is missing; Debian has it for /usr/bin/python3 only, which a "
            "virtual environment sees with --system-site-packages (PyPI's bcc is something else)",
            cure="apt-get install -y python3-bpfcc",
        ) from error
    make: Callable[..., _BccModule] = BPF
    return make


def _bcc_tables(module: _BccModule) -> Iterator[tuple[str, int]]:
    """(name, descriptor) of every map that bcc made for `module`."""
    from bcc.libbcc import lib

    # bcc declares no types for these two, and the default cuts pointers to 32 bits.
    lib.bpf_num_tables.argtypes = (ctypes.c_void_p,)
    lib.bpf_num_tables.restype = ctypes.c_size_t
    lib.bpf_table_name.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    lib.bpf_table_name.restype = ctypes.c_char_p
    for index in range(lib.bpf_num_tables(module.module)):
        name = lib.bpf_table_name(module.module, index)
        yield name.decode(), lib.bpf_table_fd(module.module, name)


def _compile_error(path: Path, error: Exception) -> BpfError:
    if os.geteuid() != 0:
        return BpfUnavailableError(
            f"{path}: bcc could not compile it, and this process is not root", cure="run as root"
        )
    return BpfError(f"{path}: bcc could not compile it: {error} (its messages are on stderr)")


def flow_math_recipe(cflags: Sequence[str] = ()) -> Recipe:
    """The FSU: program `flow_stabilization_unit`; see flow_map.py for its maps."""
    return Recipe(FLOW_SOURCE, {"flow_stabilization_unit": ProgramType.XDP}, tuple(cflags))


def wire_recipe(cflags: Sequence[str] = ()) -> Recipe:
    """The wire's programs: `wire_loss`, `wire_enter`, `wire_leave`, `wire_fault`,
    `wire_count_bytes`; see wire.py and bins.py."""
    programs = {
        "wire_loss": ProgramType.XDP,
        "wire_enter": ProgramType.TC,
        "wire_leave": ProgramType.TC,
        "wire_fault": ProgramType.TC,
        "wire_count_bytes": ProgramType.TC,
    }
    return Recipe(WIRE_SOURCE, programs, tuple(cflags))


def compile_flow_math(cflags: Sequence[str] = ()) -> CompiledSource:
    """The FSU for XDP, compiled; see `flow_math_recipe`."""
    return flow_math_recipe(cflags).compile()


def compile_wire(cflags: Sequence[str] = ()) -> CompiledSource:
    """The wire's programs, compiled; see `wire_recipe`."""
    return wire_recipe(cflags).compile()


def compile_drive(cflags: Sequence[str] = ()) -> CompiledSource:
    """Test-run drivers `drive_flows`, `drive_replay` and `drive_bare`; see drive.py."""
    return CompiledSource.compile(
        DRIVE_SOURCE,
        cflags,
        programs={
            "drive_flows": ProgramType.XDP,
            "drive_replay": ProgramType.XDP,
            "drive_bare": ProgramType.XDP,
        },
    )

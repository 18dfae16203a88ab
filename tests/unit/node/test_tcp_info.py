"""struct tcp_info is read at the right offsets, and as much of it as the kernel gives."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_node.core.framing import HEADER_BYTES
from sentinel_node.daemon.connection import MAX_SAMPLES, RawSample, TrackedConnection
from sentinel_node.daemon.convert import confirmed_payload
from sentinel_node.daemon.tcp_info import (
    FULL_BYTES,
    LAYOUT,
    MINIMUM_BYTES,
    FieldReader,
    TcpInfo,
    acked_stream_bytes,
    field,
    read_raw,
)

BTF = Path("/sys/kernel/btf/vmlinux")
BIT_FIELDS = {
    "snd_wscale",
    "rcv_wscale",
    "delivery_rate_app_limited",
    "fastopen_client_fail",
}


def raw_with(**values: int) -> bytes:
    raw = bytearray(FULL_BYTES)
    for name, value in values.items():
        offset, code = LAYOUT[name]
        size = {"B": 1, "H": 2, "I": 4, "Q": 8}[code]
        raw[offset : offset + size] = value.to_bytes(size, "little")
    return bytes(raw)


@given(st.binary(min_size=FULL_BYTES, max_size=FULL_BYTES + 40), st.permutations(list(LAYOUT)))
def test_many_fields_at_once_are_what_each_is_alone(raw: bytes, names: list[str]) -> None:
    for chosen in (names[:2], names[:20], names):
        alone = tuple(field(raw, name) for name in chosen)
        assert FieldReader(chosen)(raw) == alone
    early = FieldReader(["snd_wnd", "rtt"])
    assert early(raw[:MINIMUM_BYTES]) == (0, field(raw, "rtt"))


def test_offsets_are_those_of_the_running_kernel() -> None:
    bpftool = shutil.which("bpftool") or shutil.which("bpftool", path="/usr/sbin")
    if bpftool is None or not BTF.exists():
        pytest.skip("needs bpftool and a kernel with BTF")
    dump = subprocess.run(
        [bpftool, "btf", "dump", "file", str(BTF)], check=True, capture_output=True, text=True
    ).stdout
    begin = dump.index("STRUCT 'tcp_info'")
    body = dump[begin : dump.index("\n[", begin)]
    kernel = {
        name: int(bits) // 8
        for name, bits in re.findall(r"'tcpi_(\w+)' type_id=\d+ bits_offset=(\d+)", body)
        if name not in BIT_FIELDS
    }
    ours = {name: offset for name, (offset, _) in LAYOUT.items() if name in kernel}
    assert len(kernel) > 40
    assert ours == {name: offset for name, offset in kernel.items() if name in LAYOUT}
    assert {"rtt", "snd_cwnd", "bytes_acked", "bytes_retrans", "sndbuf_limited"} <= ours.keys()


def test_the_layout_ends_where_the_struct_ends() -> None:
    assert LAYOUT["accecn_opt_seen"][0] + 2 == FULL_BYTES
    assert LAYOUT["sndbuf_limited"][0] + 8 == MINIMUM_BYTES


def test_values_are_read_back() -> None:
    values = {name: index * 3 % 200 for index, name in enumerate(LAYOUT)}
    info = TcpInfo(raw_with(**values))
    assert {name: info[name] for name in LAYOUT} == values


def test_what_an_older_kernel_lacks_is_none_and_not_zero() -> None:
    info = TcpInfo(raw_with(rtt=5)[:MINIMUM_BYTES])
    assert info["rtt"] == 5
    assert info["bytes_retrans"] is None
    assert info.as_dict()["snd_wnd"] is None
    with pytest.raises(KeyError, match="tcpi_bytes_retrans"):
        info.required("bytes_retrans")


def test_a_struct_too_short_to_explain_a_run_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Linux 4\.9"):
        TcpInfo(bytes(MINIMUM_BYTES - 1))


def test_bit_fields_are_taken_apart() -> None:
    values = TcpInfo(raw_with(wscales=0x7A, flags=0b101)).as_dict()
    assert (values["snd_wscale"], values["rcv_wscale"]) == (10, 7)
    assert (values["delivery_rate_app_limited"], values["fastopen_client_fail"]) == (1, 2)


def connected() -> tuple[socket.socket, socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    return near, far


def test_the_syn_is_not_counted_as_confirmed() -> None:
    near, far = connected()
    with near, far:
        assert acked_stream_bytes(read_raw(near)) == 0
        near.sendall(b"x" * 1000)
        assert len(far.recv(1000, socket.MSG_WAITALL)) == 1000
        far.sendall(b"y")  # carries the acknowledgement
        near.recv(1)
        assert acked_stream_bytes(read_raw(near)) == 1000
        assert field(read_raw(near), "state") == 1


def test_confirmed_payload_excludes_header_trailer_and_fin() -> None:
    def sample(t_ns: int, acked: int) -> RawSample:
        return RawSample(t_ns, raw_with(bytes_acked=acked))

    samples = tuple(
        sample(t_ns, 1 + stream)
        for t_ns, stream in (
            (1, 0),
            (2, HEADER_BYTES),
            (3, HEADER_BYTES + 10),
            (4, HEADER_BYTES + 10),
            (5, HEADER_BYTES + 500),
            (6, HEADER_BYTES + 501),
        )
    )
    assert confirmed_payload(samples, 100) == ((1, 3, 5, 6), (0, 10, 100, 100))
    assert confirmed_payload((), 100) == ((), ())


def test_samples_are_bounded_and_spread_over_the_whole_time() -> None:
    near, far = connected()
    with far:
        connection = TrackedConnection(near, "out", 0)
        ticks = 5 * MAX_SAMPLES
        for tick in range(ticks):
            connection.sample(tick)
        connection.close(ticks)
        connection.close(ticks + 1)
        connection.sample(ticks + 2)
    times = [sample.t_ns for sample in connection.samples]
    assert len(times) <= MAX_SAMPLES + 1
    assert times == sorted(times)
    assert times[0] < 10
    assert times[-1] == ticks
    gaps = {b - a for a, b in pairwise(times[:-1])}
    assert max(gaps) <= 16
    assert not connection.is_open

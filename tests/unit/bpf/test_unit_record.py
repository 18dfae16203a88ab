"""Records beside the pins, and finding a bpffs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sentinel_bpf.bpffs import is_bpffs
from sentinel_bpf.errors import BpfError
from sentinel_bpf.unit import UnitEnd, UnitRecord, mode_of, parse_record, read_records, write_record

END = UnitEnd("interface", "veth.0", "/run/netns/blue", 4026532001, 7, "native")
RECORD = UnitRecord("n1i7", "fsu attach", "", "", "/pins/n1i7", "2026-01-02T03:04:05Z", 2, (END,))


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_record(tmp_path / "fsu" / "n1i7.json", RECORD)
    assert read_records(tmp_path / "fsu") == [RECORD]
    assert list((tmp_path / "fsu").iterdir()) == [tmp_path / "fsu" / "n1i7.json"]


def test_no_directory_has_no_records(tmp_path: Path) -> None:
    assert read_records(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "something/else"},
        {"ends": [{"name": "x"}]},
        {"pins": None, "surprise": 1},
        {"ends": 5},
    ],
)
def test_what_is_no_record_is_refused_with_its_place(change: dict[str, object]) -> None:
    fields = {**RECORD.to_json(), **change}
    with pytest.raises(BpfError, match=r"here\.json: not a record"):
        parse_record(json.dumps(fields), "here.json")
    with pytest.raises(BpfError, match=r"here\.json"):
        parse_record("no json", "here.json")


def test_the_topmost_mount_at_exactly_that_place_counts(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "30 1 0:26 / /sys/fs/bpf rw shared:9 - bpf bpf rw,mode=700\n"
        "31 1 0:27 / /run/x rw - bpf none rw\n"
        "32 1 0:28 / /run/x rw - tmpfs none rw\n"
    )
    assert is_bpffs(Path("/sys/fs/bpf"), table)
    assert not is_bpffs(Path("/sys/fs"), table)
    assert not is_bpffs(Path("/sys/fs/bpf/below"), table)
    assert not is_bpffs(Path("/run/x"), table)


def test_only_two_modes_exist() -> None:
    assert mode_of("generic") == "generic"
    with pytest.raises(BpfError, match="'offload': native or generic"):
        mode_of("offload")

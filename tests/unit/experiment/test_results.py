"""The result file: its schema, its means, and that nothing is ever half written or NaN."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.experiment.support import measurement, spec

from sentinel_sim.errors import ResultError
from sentinel_sim.experiment import rawlog, results
from sentinel_sim.experiment.files import new_directory, without_nan, write_atomically
from sentinel_sim.experiment.rawlog import raw_run, read_raw, spec_sha256, write_raw
from sentinel_sim.experiment.records import record_of, summarise
from sentinel_sim.plan.model import Arm, RunSpec
from sentinel_sim.plan.stats import ci95

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
ENVIRONMENT = {"kernel": "6.1", "wire_backend": "fake", "commit": None, "versions": {}}


def record(run: RunSpec, **changes: object) -> dict[str, Any]:
    return record_of(raw_run(run, measurement(run, **changes)))  # type: ignore[arg-type]


def document(*records: dict[str, Any], complete: bool = True) -> results.Result:
    return results.build(
        name="small",
        backend="emulated",
        seed=7,
        environment=ENVIRONMENT,
        plan={},
        records=records,
        complete=complete,
    )


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    loaded = json.loads(results.SCHEMA_PATH.read_text())
    jsonschema.Draft202012Validator.check_schema(loaded)
    return jsonschema.Draft202012Validator(loaded)


def test_results_satisfy_the_published_schema(schema: jsonschema.Draft202012Validator) -> None:
    split = spec(Arm.SPLIT)
    failed = record_of(raw_run(spec(key="dead"), None, ("daemon died", "daemon died")))
    late = record(spec(Arm.TUNED, distance_km=None), rtt_idle_ns=())
    for result in (document(), document(record(spec()), record(split), late, failed)):
        schema.validate(json.loads(json.dumps(result, allow_nan=False)))


def test_the_schema_refuses_a_result_without_its_core(
    schema: jsonschema.Draft202012Validator,
) -> None:
    whole = document(record(spec()))
    for key in ("goodput_bps", "sha256_ok", "achieved", "exposure_bytes_max"):
        broken = json.loads(json.dumps(whole))
        del broken["runs"][0][key]
        assert not schema.is_valid(broken), key


def test_a_failed_run_has_the_same_keys_as_a_measured_one() -> None:
    run = spec()
    failed = record_of(raw_run(run, None, ("first", "second")))
    assert set(failed) == set(record(run))
    assert failed["valid"] is False
    assert failed["invalid_reasons"] == ["the run failed: second"]
    assert failed["failed_attempts"] == ["first", "second"]
    assert failed["requested"] == record(run)["requested"]


def test_wall_clock_lives_in_cpu_only() -> None:
    run = spec()
    one = record(run, started_utc="2026-01-01T00:00:00Z")
    two = record(run, started_utc="2027-01-01T00:00:00Z")
    assert one.pop("cpu") != two.pop("cpu")
    assert one == two


def test_invalid_runs_never_enter_a_mean() -> None:
    runs = [record(spec(repeat=i), goodput_bps=float(rate)) for i, rate in enumerate((80e6, 90e6))]
    wild = record(spec(repeat=2), goodput_bps=1e6, rtt_idle_ns=(1,))
    assert wild["valid"] is False
    (summary,) = summarise([*runs, wild])
    values = [run["goodput_bps"] for run in runs]
    assert summary["n"] == 2
    assert summary["n_invalid"] == 1
    assert summary["goodput_bps"]["mean"] == pytest.approx(sum(values) / 2)
    assert summary["goodput_bps"]["ci95"] == pytest.approx(list(ci95(values) or ()))


def test_a_single_run_has_a_mean_and_no_interval() -> None:
    (summary,) = summarise([record(spec())])
    assert summary["goodput_bps"]["n"] == 1
    assert summary["goodput_bps"]["ci95"] is None


def test_groups_differ_by_arm_distance_and_any_parameter() -> None:
    runs = [
        spec(),
        spec(Arm.TUNED),
        spec(distance_km=100.0),
        spec(params={"congestion_control": "bbr"}),
        spec(params={"congestion_control": "cubic", "loss": "1 %"}),
    ]
    assert [one["n"] for one in summarise([record(run) for run in runs])] == [1] * 5


def test_a_group_without_a_valid_run_is_listed_without_a_mean() -> None:
    (summary,) = summarise([record(spec(), rtt_idle_ns=(1,))])
    assert summary["n"] == 0
    assert summary["goodput_bps"] == {"n": 0, "mean": None, "ci95": None}


def test_runs_with_unlike_offloads_are_not_pooled() -> None:
    runs = [record(spec(repeat=i), offloads={"gro": bool(i)}) for i in range(2)]
    (summary,) = summarise(runs)
    assert summary["goodput_bps"]["mean"] is None
    assert "offloads" in summary["unpooled"]
    assert summary["n"] == 0


@pytest.mark.parametrize(
    ("records", "complete", "words"),
    [
        ([], True, "no run"),
        ([record(spec())], False, "did not finish"),
        ([record(spec(), rtt_idle_ns=())], True, "1 of 1 runs are invalid"),
    ],
)
def test_a_result_is_valid_only_when_complete_and_every_run_is(
    records: list[dict[str, Any]], complete: bool, words: str
) -> None:
    result = document(*records, complete=complete)
    assert result["valid"] is False
    assert any(words in reason for reason in result["invalid_reasons"])
    assert document(record(spec()))["valid"] is True


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_nan_and_infinity_become_null_and_nothing_else_changes(value: object) -> None:
    clean = without_nan(value)
    text = json.dumps(clean, allow_nan=False)
    assert json.loads(text) == json.loads(
        json.dumps(value),
        parse_constant=lambda _: None,  # NaN, Infinity, -Infinity
    )


def test_results_are_written_and_read_back(tmp_path: Path) -> None:
    result = document(record(spec()))
    results.write_result(tmp_path, result)
    assert results.read_result(tmp_path) == json.loads(json.dumps(result))
    assert results.read_result(tmp_path / "result.json")["name"] == "small"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        (b"{", "not a readable result"),
        (b"\xff\xfe", "not a readable result"),
        (b"[]", "schema is None"),
        (b'{"schema": "sentinel-sim/result/9"}', "sentinel-sim/result/9"),
    ],
)
def test_what_is_no_result_is_refused_with_the_reason(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(ResultError, match=words):
        results.read_result(tmp_path)


def test_a_directory_is_never_used_twice(tmp_path: Path) -> None:
    first = new_directory(tmp_path, "chile-usa", NOON)
    assert first.name == "chile-usa-20260102T120000Z"
    assert new_directory(tmp_path, "chile-usa", NOON).name == "chile-usa-20260102T120000Z-2"


def test_a_place_that_cannot_be_written_is_named_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="cannot be created") as caught:
        new_directory(tmp_path / "file", "x", NOON)
    assert caught.value.cure is not None


def test_a_failing_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_raw_log_holds_the_whole_measurement(tmp_path: Path) -> None:
    run = spec(Arm.SPLIT)
    raw = raw_run(run, measurement(run), ("first attempt failed",))
    path = write_raw(tmp_path, raw)
    assert read_raw(path) == raw
    assert record_of(read_raw(path)) == record_of(raw)
    first = path.read_bytes()
    write_raw(tmp_path, raw)
    assert path.read_bytes() == first


def test_a_damaged_raw_log_is_named(tmp_path: Path) -> None:
    run = spec()
    path = write_raw(tmp_path, raw_run(run, measurement(run)))
    whole = path.read_bytes()
    for content in (whole[:40], b"", b"plain text", whole[:20] + bytes(20) + whole[40:]):
        path.write_bytes(content)
        with pytest.raises(ResultError, match=path.name):
            rawlog.read_all(tmp_path)


def test_equal_specs_have_equal_digests_and_any_change_shows() -> None:
    assert spec_sha256(spec()) == spec_sha256(spec())
    reordered = dataclasses.replace(spec(), params={"b": 1, "a": 2})
    assert spec_sha256(reordered) == spec_sha256(
        dataclasses.replace(spec(), params={"a": 2, "b": 1})
    )
    assert spec_sha256(spec()) != spec_sha256(dataclasses.replace(spec(), seed=18))


def test_environments_are_unlike_where_a_pooled_key_differs() -> None:
    here = {"kernel": "6.1", "commit": "abc", "wire_backend": "netem", "hostname": "x"}
    assert results.unlike(here, {**here, "hostname": "y"}) == []
    (difference,) = results.unlike(here, {**here, "kernel": "6.2"})
    assert "6.1" in difference
    assert "6.2" in difference
    assert len(results.unlike(here, {**here, "wire_backend": "delayline", "commit": None})) == 2

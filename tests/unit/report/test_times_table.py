"""The table of times: what it has a column for, and medians over valid runs only."""

from __future__ import annotations

from tests.unit.report.test_report import result_of

from sentinel_sim.report.times_table import times_columns, times_rows


def run(arm: str, repeat: int, *, valid: bool = True, **figures: object) -> dict[str, object]:
    return {
        "arm": arm,
        "distance_km": 100.0,
        "params": {},
        "repeat": repeat,
        "valid": valid,
        "requested": {"rtt_s": 0.1, "loss": 0.0, "rate_bps": 10**9},
        **figures,
    }


def result(*runs: dict[str, object]) -> dict[str, object]:
    arms = dict.fromkeys(str(one["arm"]) for one in runs)
    summary = [{"arm": arm, "distance_km": 100.0, "params": {}} for arm in arms]
    return {"runs": list(runs), "summary": summary}


def test_medians_are_of_valid_runs_and_columns_of_what_was_measured() -> None:
    document = result(
        run("fsu", 0, time_to_first_byte_s=0.01, delivered_after_s={"10 MB": 0.4, "1 MB": None}),
        run("fsu", 1, time_to_first_byte_s=0.03, delivered_after_s={"10 MB": 0.6, "1 MB": None}),
        run("fsu", 2, valid=False, time_to_first_byte_s=9.0, delivered_after_s={"10 MB": 9.0}),
        run("direct", 0, time_to_first_byte_s=None, exposure_bytes_max=None),
    )
    headings = [column.heading for column in times_columns(document)]
    assert headings == ["arm", "distance\nkm", "1st byte\nms", "10 MB\ns"]
    assert [row.cells for row in times_rows(document)] == [
        ("direct", "100", "–", "–"),
        ("fsu", "100", "20.00", "0.500"),
    ]


def test_there_is_no_table_where_nothing_was_measured() -> None:
    assert times_columns(result(run("direct", 0))) == ()
    assert times_columns(result_of()) == ()

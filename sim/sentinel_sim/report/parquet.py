"""The tidy table as a file, `runs.parquet`, for pandas, polars, R and DuckDB.

The only importer of pyarrow, and imported late. The same runs give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from sentinel_sim.experiment.files import write_atomically
from sentinel_sim.report.tidy import columns_of

RUNS_FILE = "runs.parquet"
TABLE_SCHEMA = "sentinel-sim/runs/1"
_TYPES: Mapping[type, Any] = {
    str: pyarrow.string(),
    int: pyarrow.int64(),
    float: pyarrow.float64(),
    bool: pyarrow.bool_(),
}


def write_runs(results: Sequence[Mapping[str, Any]], directory: Path) -> Path:
    """Write all runs of these results into one file in `directory`; gives its path."""
    columns = columns_of(results)
    schema = pyarrow.schema(
        [pyarrow.field(column.name, _TYPES[column.kind]) for column in columns],
        metadata={"schema": TABLE_SCHEMA},
    )
    arrays = [pyarrow.array(column.values, type=_TYPES[column.kind]) for column in columns]
    table = pyarrow.Table.from_arrays(arrays, schema=schema)
    content = io.BytesIO()
    pyarrow.parquet.write_table(table, content, compression="zstd")
    path = directory / RUNS_FILE
    write_atomically(path, content.getvalue())
    return path

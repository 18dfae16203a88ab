"""Path metadata beside the data: by flow, the latest of its origin wins."""

from __future__ import annotations

from sentinel_node.core.control.messages import PathMetadata
from sentinel_node.core.control.refusals import Reason, Refusal, RefusalCounter
from sentinel_node.core.sync.flow_table import FlowTable


class PathBook:
    """Paths of the flows in a table; bounded by it."""

    def __init__(self, table: FlowTable) -> None:
        self._table = table
        self._paths: dict[int, PathMetadata] = {}
        self.refused = RefusalCounter()

    def get(self, flow_id: int) -> PathMetadata | None:
        """The newest path of a flow that is still in the table."""
        return self._paths.get(flow_id) if self._table.get(flow_id) else None

    def apply(self, path: PathMetadata) -> PathMetadata | Refusal:
        """Take a path, if the flow is known and it is newer; refusals change only a counter."""
        if self._table.get(path.flow_id) is None:
            return self.refused.note(
                Refusal(Reason.UNKNOWN_FLOW, f"path of unknown flow {path.flow_id}")
            )
        known = self._paths.get(path.flow_id)
        if known is not None and path.version <= known.version:
            return self.refused.note(
                Refusal(
                    Reason.OUTDATED,
                    f"flow {path.flow_id}: path {path.version} is not newer than {known.version}",
                )
            )
        if len(self._paths) > 2 * len(self._table):
            # Flows that the table forgot leave their paths behind until here.
            self._paths = {f: p for f, p in self._paths.items() if self._table.get(f)}
        self._paths[path.flow_id] = path
        return path


def hop_names(path: PathMetadata) -> tuple[str, ...]:
    """The nodes of a path, origin first."""
    return tuple(hop.node for hop in path.hops)


def next_hop(path: PathMetadata, node: str) -> str | None:
    """The node after `node`; None: it is the last one, or not on the path."""
    names = hop_names(path)
    after = names.index(node) + 1 if node in names else len(names)
    return names[after] if after < len(names) else None

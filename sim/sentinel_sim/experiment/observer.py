"""What the runner tells while it works; the progress display is one observer, silence another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sentinel_sim.experiment.records import Record
from sentinel_sim.plan.model import RunSpec


@dataclass(frozen=True, slots=True)
class Outlook:
    """Where the experiment stands when a run begins."""

    done: int
    """Runs finished so far, those of an earlier sitting included."""
    remaining: int
    """This one and the probable rest."""
    remaining_traffic_ns: int
    """Their traffic, at best."""


class Observer(Protocol):
    """Must be cheap and must not raise."""

    def opened(self, directory: Path, reused: int) -> None:
        """The network stands; results go to `directory`; `reused` runs are taken over."""
        ...

    def run_started(self, spec: RunSpec, outlook: Outlook) -> None:
        """A run begins (again, where it is a second attempt)."""
        ...

    def phase(self, name: str, traffic_s: float) -> None:
        """The backend is in phase `name`, with so many seconds of traffic done."""
        ...

    def run_failed(self, spec: RunSpec, error: str, *, retry: bool) -> None:
        """An attempt could not be carried out."""
        ...

    def run_ended(self, spec: RunSpec, record: Record) -> None:
        """A run is finished and written down."""
        ...

    def progressed(self, outlook: Outlook) -> None:
        """Several runs are under way at a time: so many are done, and so many are left."""
        ...

    def run_repeated(self, spec: RunSpec, record: Record) -> None:
        """The host disturbed this run: it is put aside, and made again now."""
        ...

    def interrupted(self, signal_name: str, *, again: bool) -> None:
        """A signal came: the network is being taken down (`again`: it already was)."""
        ...


class Silent:
    """Observes nothing: for `--json` and for tests."""

    def opened(self, directory: Path, reused: int) -> None: ...
    def run_started(self, spec: RunSpec, outlook: Outlook) -> None: ...
    def phase(self, name: str, traffic_s: float) -> None: ...
    def run_failed(self, spec: RunSpec, error: str, *, retry: bool) -> None: ...
    def run_ended(self, spec: RunSpec, record: Record) -> None: ...
    def progressed(self, outlook: Outlook) -> None: ...
    def run_repeated(self, spec: RunSpec, record: Record) -> None: ...
    def interrupted(self, signal_name: str, *, again: bool) -> None: ...

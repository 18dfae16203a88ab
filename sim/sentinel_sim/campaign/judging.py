"""What became of one transfer, judged by what was confirmed outside all nodes (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from sentinel_sim.campaign.drawing import Source


@dataclass(frozen=True, slots=True)
class Outcome:
    """One transfer. Offsets count from its first byte."""

    round: int
    flow_id: int
    arm: str
    source: Source
    size_bytes: int
    confirmed_bytes: int
    """The highest offset that was confirmed to us."""
    written_bytes: int
    """On the receiver's disk, right or wrong."""
    right_bytes: int
    """Of those, from the first on, as the source gave them."""
    complete: bool
    """The sender's last word: delivered whole, with the right hash."""
    error: str
    """The last word about a transfer that failed."""
    sender_died: bool
    """Its daemon, while it was sent: a pipe cannot be gone on with."""
    lives: int
    """Of the sender's daemon that took part."""
    seconds: float

    @property
    def lost_bytes(self) -> int:
        """Confirmed, and not there."""
        return max(0, self.confirmed_bytes - self.right_bytes)

    @property
    def lost_its_pipe(self) -> bool:
        """It failed because it had to: what was not confirmed went with the sender's daemon."""
        return not self.complete and self.sender_died and self.source is Source.PIPE

    @property
    def problems(self) -> tuple[str, ...]:
        """What must never happen; empty if nothing of it did."""
        found = []
        if self.lost_bytes:
            found.append(
                f"{self.lost_bytes} bytes lost: {self.confirmed_bytes} were confirmed, the receiver"
                f" has {self.right_bytes}"
            )
        if self.written_bytes != self.right_bytes:
            found.append(f"wrong from byte {self.right_bytes} of {self.written_bytes} written")
        if self.complete and self.right_bytes != self.size_bytes:
            found.append(f"called complete with {self.right_bytes} of {self.size_bytes} bytes")
        if not self.complete and not self.error:
            found.append("neither complete nor failed: no word came from it any more")
        return tuple(found)

    @property
    def name(self) -> str:
        """As problems and logs name it."""
        return f"round {self.round}, transfer {self.flow_id} ({self.arm}, {self.source})"


def right_prefix(written: bytes, given: bytes) -> int:
    """How many bytes from the first on are equal."""
    if given.startswith(written):
        return len(written)
    low, high = 0, min(len(written), len(given))
    while low < high:  # the longest equal prefix, by halves: a comparison is one memcmp
        middle = (low + high + 1) // 2
        if written[:middle] == given[:middle]:
            low = middle
        else:
            high = middle - 1
    return low

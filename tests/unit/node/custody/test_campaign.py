"""The campaign of random faults, in short; the command runs as many as one likes."""

from __future__ import annotations

from tests.unit.node.custody.campaign import campaign

FAULTS = 60


def test_no_byte_is_lost_doubled_or_wrong_under_random_faults() -> None:
    _, trouble = campaign(FAULTS, first_seed=1)
    assert not trouble, trouble

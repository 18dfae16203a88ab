"""The watch on the processors: a stall that we cause ourselves is seen, and how long it was."""

from __future__ import annotations

import os
import subprocess
import sys

from sentinel_sim.wire.stalls import PRIORITY, StallWatch

STALL_S = 0.05
HOG = f"""
import os, time
os.sched_setaffinity(0, {{int(os.environ["HOG_CPU"])}})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param({PRIORITY + 1}))
end = time.monotonic() + {STALL_S}
while time.monotonic() < end:
    pass
"""


def test_a_cpu_that_somebody_takes_away_is_seen_as_stalled() -> None:
    pids: dict[int, str] = {}
    watch = StallWatch("sentinel-test", dict(os.environ), pids.__setitem__)
    try:
        cpu = min(os.sched_getaffinity(0))
        watch.reset()
        env = {**os.environ, "HOG_CPU": str(cpu)}
        subprocess.run([sys.executable, "-c", HOG], env=env, check=True)
        seen = watch.read()
    finally:
        watch.close()
    assert set(pids) == set(watch.pids.values())
    hit = seen[f"cpu{cpu}"]
    assert hit["late_max_s"] > 0.9 * STALL_S
    assert hit["stalled_share"] > 0
    assert hit["wakeups"] > 0
    assert hit["late_p50_s"] < hit["late_max_s"]


def test_a_reset_forgets() -> None:
    watch = StallWatch("sentinel-test", dict(os.environ), lambda pid, what: None)
    try:
        before = watch.read()
        watch.reset()
        after = watch.read()
    finally:
        watch.close()
    assert all(after[name]["wakeups"] <= before[name]["wakeups"] + 5 for name in before)

"""What keeps a CPU awake gives way to everything else on it, other sessions included."""

from __future__ import annotations

import os
import subprocess
import sys

from sentinel_sim.wire.awake import Awake

WORK = """
import os, time
os.sched_setaffinity(0, {int(os.environ["WORK_CPU"])})
end, before = time.monotonic() + 1.0, time.process_time()
while time.monotonic() < end:
    pass
print(time.process_time() - before)
"""


def test_work_in_another_session_gets_the_cpu_while_it_is_kept_awake() -> None:
    cpu = min(os.sched_getaffinity(0))
    awake = Awake("sentinel-test", dict(os.environ), lambda pid, what: None)
    try:
        done = subprocess.run(
            [sys.executable, "-c", WORK],
            env={**os.environ, "WORK_CPU": str(cpu)},
            start_new_session=True,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
    finally:
        awake.close()
    # At equal weights it would get half; the rest is what others on the machine may take.
    assert float(done.stdout) > 0.7

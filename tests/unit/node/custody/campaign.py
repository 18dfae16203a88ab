"""Faults at random on the custody data plane in one process, until there were enough.

    python -m tests.unit.node.custody.campaign [--faults 300] [--seed 1]

Each transfer has its seed: number of relays, source, memory, disk, delay and loss of control
messages, and which connections break, which daemons start anew, which sessions are cut. Ends with
1 and what is known at the first transfer that loses a byte, a hash or its way.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.unit.node.custody.net import Control, Net, Sent
from tests.unit.node.custody.test_data_plane import pipe_of

from sentinel_node.core.custody.effects import Release
from sentinel_node.daemon.custody.sources import PipeSource

STALL_S = 8.0


def inject(net: Net, sent: Sent, size_bytes: int, choice: random.Random) -> list[str]:
    """Up to five faults at random offsets."""
    done = []
    for _ in range(choice.randint(1, 5)):
        offset, patience_s = choice.randrange(size_bytes), time.monotonic() + 1
        while sent.record.payload_bytes < offset and time.monotonic() < patience_s:
            if sent.record.ended:
                return done
            threading.Event().wait(0.0005)
        kind, name = choice.random(), choice.choice(net.names)
        if kind < 0.5:
            net.break_connection(name, choice)
        elif kind < 0.8:
            name = choice.choice(net.names[1:])
            net.restart(name)
        else:
            index = choice.randrange(len(net.names) - 1)
            net.control.cut(*net.names[index : index + 2])
            threading.Event().wait(choice.random() * 0.05)
            net.control.mend(*net.names[index : index + 2])
        done.append(f"{kind:.2f} {name} at {offset}")
    return done


def transfer(seed: int, folder: Path) -> tuple[int, str]:
    """One flow: how many faults, and "" or what went wrong."""
    choice = random.Random(seed)
    size_bytes = choice.randrange(200_000, 12_000_000)
    from_pipe, on_disk = choice.random() < 0.6, choice.random() < 0.4
    (folder / "journals").mkdir()
    (folder / "files").mkdir()
    net = Net(
        choice.randint(1, 3),
        control=Control(
            seed, delay_s=choice.choice([0, 0.001, 0.01]), loss=choice.choice([0, 0.02])
        ),
        journals=folder / "journals" if on_disk else None,
        folder=folder / "files",
        capacity_bytes=choice.choice([4, 16]) << 20,
        read_rate_limit_bps=choice.choice([0, 200_000_000]),
    )
    release = choice.choice(list(Release)) if on_disk and from_pipe else Release.DELIVERED
    data = choice.randbytes(size_bytes)
    try:
        with pipe_of(data) as (pipe, _):
            if from_pipe:
                sent = net.send(PipeSource(pipe), stall_s=STALL_S, release=release)
            else:
                os.close(pipe)
                sent = net.send(size_bytes=size_bytes, stall_s=STALL_S)
            faults = inject(net, sent, size_bytes, choice)
            record = sent.wait()
        written = b"".join(path.read_bytes() for path in (folder / "files").glob("*.payload"))
        right = written == data if from_pipe else len(written) == size_bytes
        if record.complete and right:
            return len(faults), ""
        confirmed = max(sent.confirmed, default=0)
        lines = [f"seed {seed}: {record.error or 'damaged'}, {confirmed} confirmed of {size_bytes}"]
        lines += [f"{len(written)} written, pipe {from_pipe}, disk {on_disk}, {release}", *faults]
        for name in net.names:
            lines += [f"-- {name}", *net.nodes[name].run.events]
        return len(faults), "\n".join(lines)
    finally:
        net.close()


def campaign(faults_min: int, first_seed: int) -> tuple[str, str]:
    """Transfers until there were so many faults: what was done, and "" or what went wrong."""
    seed, faults, slowest_s, begin_s = first_seed, 0, 0.0, time.monotonic()
    while faults < faults_min:
        started_s = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            count, trouble = transfer(seed, Path(folder))
        if trouble:
            return "", trouble
        faults, seed = faults + count, seed + 1
        slowest_s = max(slowest_s, time.monotonic() - started_s)
    done = (
        f"{seed - first_seed} transfers, {faults} faults, {time.monotonic() - begin_s:.0f} s in "
        f"all, {slowest_s:.1f} s the slowest; no byte lost, doubled or wrong"
    )
    return done, ""


def main() -> int:
    """Run, and count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=300, help="at least so many (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the first transfer (%(default)s)")
    options = parser.parse_args()
    done, trouble = campaign(options.faults, options.seed)
    sys.stdout.write(f"{trouble or done}\n")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())

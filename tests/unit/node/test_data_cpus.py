"""Where the threads that move payload run; the control plane's thread stays free."""

from __future__ import annotations

import os
import threading

import pytest

from sentinel_node.daemon.main import daemon_config, make_parser
from sentinel_node.daemon.run import NodeRun
from sentinel_node.daemon.sampler import Sampler
from sentinel_node.errors import RequestError

ALLOWED = os.sched_getaffinity(0)


def cpus_of_a_worker(data_cpus: frozenset[int]) -> set[int]:
    """Where a thread of a run may run."""
    found: list[set[int]] = []
    sampler = Sampler()
    run = NodeRun("r", sampler, lambda: None, data_cpus=data_cpus)
    try:
        done = threading.Event()

        def work(run: NodeRun) -> None:
            found.append(os.sched_getaffinity(0))
            done.set()

        run.spawn("flow", work)
        assert done.wait(10)
    finally:
        run.close()
        sampler.close()
    return found[0]


def test_only_the_threads_of_runs_are_bound_to_the_cpus_for_data() -> None:
    one = min(ALLOWED)
    assert cpus_of_a_worker(frozenset({one})) == {one}
    assert os.sched_getaffinity(0) == ALLOWED
    assert cpus_of_a_worker(frozenset()) == ALLOWED


def config_with(*words: str) -> frozenset[int]:
    words = ("--role", "sender", "--control", "unix:/run/x", *words)
    return daemon_config(make_parser().parse_args(words)).data_cpus


def test_cpus_are_told_by_their_numbers() -> None:
    assert config_with() == frozenset()
    assert config_with("--data-cpus", ",".join(map(str, sorted(ALLOWED)))) == ALLOWED


@pytest.mark.parametrize("text", ["x", "-1", "0-1", "0,0", f"{max(ALLOWED) + 1}", ","])
def test_what_is_no_cpu_of_this_process_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match=f"--data-cpus takes some of .*{max(ALLOWED)}"):
        config_with(f"--data-cpus={text}")

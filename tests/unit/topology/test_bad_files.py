"""Every malformed or infeasible file: exit code 2, file, line, key, and a message that helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel_sim.errors import EXIT_USAGE, InfeasibleError, TopologyError
from sentinel_sim.plan.expand import expand
from sentinel_sim.topology.budget import CpuBudget
from sentinel_sim.topology.feasibility import check
from sentinel_sim.topology.reader import load

BAD = Path(__file__).with_name("bad")
TWO_CORES = CpuBudget(cores=2, datagram_ns=2700.0)
MEMORY_BYTES = 24 * 10**9

# file -> line, key, words of the message
MALFORMED: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "a-list": (1, "", ("must be a mapping", "got ['a', 'b']")),
    "arm-twice": (14, "experiment.arms.1", ("listed twice", "'tuned'")),
    "arm-unknown": (14, "experiment.arms.1", ("got 'splitt'", "did you mean 'split'")),
    "arrival-unknown": (15, "experiment.workload.arrival", ("got 'sometimes'", "poisson 20 /s")),
    "bad-default": (6, "defaults.links.loss", ("bare number", "got 0.1", "'0.1 %'")),
    "bad-latitude": (3, "nodes.a.location.0", ("between -90 and 90", "got 91")),
    "bare-in-expression": (15, "experiment.workload.duration", ("bare number", "max(5, 60 rtt)")),
    "bare-loss": (10, "links.0.loss", ("bare number", "got 0.01", "'0.1 %'")),
    "bare-mtu": (10, "links.0.mtu", ("bare number", "got 1500", "'1500 B'")),
    "bare-number": (8, "links.0.rate", ("bare number", "got 100", "'1 Gbit/s'")),
    "binary": (2, "", ("not a text file", "got byte 0xff", "UTF-8")),
    "deep-nesting": (1, "", ("nested more than",)),
    "duplicate-key": (10, "links.0.rate", ("given twice", "first in line 8")),
    "duplicate-node": (5, "nodes.a", ("given twice", "first in line 3")),
    "empty": (1, "", ("is empty",)),
    "expression-is-code": (15, "experiment.workload.duration", ("is not a duration", "abort")),
    "fault-arm": (16, "experiment.faults.0.arms.0", ("got 'spilt'", "did you mean 'split'")),
    "fault-bare-time": (16, "experiment.faults.0.at", ("bare number", "got 1")),
    "fault-direction": (16, "experiment.faults.0.direction", ("got 'a->b'", "a->m, m->a")),
    "fault-kind-unknown": (16, "experiment.faults.0", ("'kil-daemon'", "'kill-daemon'")),
    "fault-loss-bare": (16, "experiment.faults.0.loss", ("bare number", "'0.1 %'")),
    "fault-never": (16, "experiment.faults.0", ("exactly one of at and at_bytes", "neither")),
    "fault-no-kind": (16, "experiment.faults.0", ("has no kind", "kind: kill-daemon")),
    "fault-twice-timed": (16, "experiment.faults.0", ("exactly one of at and at_bytes", "both")),
    "fault-unknown-link": (16, "experiment.faults.0.link", ("got 'a-m'", "'a--m'", "m--b")),
    "fault-unknown-node": (16, "experiment.faults.0.node", ("got 'mm'", "did you mean 'm'")),
    "fault-wrong-key": (16, "experiment.faults.0.lnk", ("unknown key", "did you mean 'link'")),
    "flows-zero": (15, "experiment.workload.flows", ("between 1 and", "got 0")),
    "isolated-node": (6, "nodes.c", ("no link ends here", "add a link")),
    "loss-100-percent": (10, "links.0.loss", ("below 100 %", "got '100 %'")),
    "loss-150-percent": (10, "links.0.loss", ("at most 100 %", "got '150 %'")),
    "name-with-space": (1, "name", ("no usable name", "got 'bad name'")),
    "negative-delay": (9, "links.0.delay_one_way", ("must not be negative", "got '-5 ms'")),
    "negative-distance": (9, "links.0.distance_km", ("more than 0 km", "got -500")),
    "no-length": (7, "links.0", ("has no length", "exactly one")),
    "no-path": (3, "nodes.a", ("no path to any receiver",)),
    "no-sender": (2, "nodes", ("no node is a sender", "role: sender")),
    "not-a-number": (9, "links.0.distance_km", ("is not a length", "'.nan'")),
    "nul-bytes": (2, "", ("not a text file",)),
    "only-comments": (1, "", ("is empty",)),
    "path-through-sender": (3, "nodes.a", ("a - m - b", "only intermediates forward")),
    "plain-text": (1, "", ("must be a mapping", "got 'hello there'")),
    "python-tag": (1, "", ("YAML tag", "os.abort", "remove it")),
    "rate-bps-spelling": (8, "links.0.rate", ("got '100 Mbps'", "did you mean 'Mbit/s'")),
    "repeat-max-below-min": (16, "experiment.repeat.max", ("less than min (3)", "got 2")),
    "repeat-until": (16, "experiment.repeat.until", ("no stop rule", "'ci95 < 5 %'")),
    "route-factor-of-delay": (10, "links.0.route_factor", ("no effect", "remove it")),
    "rtt-key": (9, "links.0.rtt", ("unknown key", "'delay_one_way', half the RTT")),
    "seed-text": (16, "experiment.seed", ("whole number", "got 'lucky'")),
    "self-alias": (1, "", ("contains itself",)),
    "self-loop": (7, "links.0.endpoints", ("two different nodes", "'a' twice")),
    "sweep-arms": (16, "experiment.sweep.arms", ("cannot be swept", "experiment.arms")),
    "sweep-bad-value": (16, "experiment.sweep.loss.1", ("at most 100 %", "got '150 %'")),
    "sweep-distance-of-delays": (16, "experiment.sweep.distance_km", ("sweep delay_one_way",)),
    "sweep-duplicate": (16, "experiment.sweep.loss.1", ("listed twice", "'0.10 %'")),
    "sweep-no-such-link": (16, "experiment.sweep.links.7.loss", ("numbered 0 to 1",)),
    "sweep-not-a-list": (16, "experiment.sweep.loss", ("must be a list", "got '0.1 %'")),
    "sweep-unknown-key": (16, "experiment.sweep.los", ("unknown key", "did you mean 'loss'")),
    "tab-indentation": (8, "", ("not valid YAML", "indentation")),
    "three-endpoints": (7, "links.0.endpoints", ("2 entries at most",)),
    "transfer-without-sizes": (15, "experiment.workload.sizes", ("at least 1", "got 0")),
    "two-documents": (16, "", ("more than one document",)),
    "two-lengths": (10, "links.0.delay_one_way", ("2 lengths", "keep exactly one")),
    "two-lengths-location": (9, "links.0.distance_km", ("2 lengths", "locations of both ends")),
    "unclosed-bracket": (15, "", ("not valid YAML", "brackets")),
    "unclosed-expression": (15, "experiment.workload.duration", ("')' is missing",)),
    "unknown-key": (9, "links.0.distanse_km", ("unknown key", "did you mean 'distance_km'")),
    "unknown-node": (10, "links.1.endpoints.1", ("got 'bb'", "did you mean 'b'", "a, m, b")),
    "unknown-role": (4, "nodes.m.role", ("got 'intermediat'", "did you mean 'intermediate'")),
    "unknown-top-key": (13, "experimint", ("unknown key", "did you mean 'experiment'")),
    "unknown-unit-in-expression": (15, "experiment.workload.duration", ("did you mean 'rtt'",)),
    "workload-trace": (15, "experiment.workload", ("not available in this version", "'trace'")),
    "workload-unknown": (15, "experiment.workload", ("got 'bulc'", "did you mean 'bulk'")),
    "workload-wrong-key": (15, "experiment.workload.size", ("unknown key", "kind, duration")),
    "wrong-unit": (8, "links.0.rate", ("got '100 MB'", "Mbit/s")),
    "yaml-bomb": (1, "", ("expands to more than 20000 values",)),
    "zero-rate": (8, "links.0.rate", ("more than zero", "'0 bit/s'")),
}
INFEASIBLE: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "delay-too-short": (9, "links.0.distance_km", ("0.01 ms one way", "0.05 ms", "10 km")),
    "jitter-above-delay": (10, "links.0.jitter", ("jitter 10 ms", "2.5 ms")),
    "mtu-9000-with-xdp": (10, "links.0.mtu", ("9000 B", "3500", "'xdp: off'")),
    "mtu-tiny": (10, "links.0.mtu", ("200 B", "576")),
    "queue-one-packet": (10, "links.0.queue", ("1.0 packets", "max(1 bdp, 10 packets)")),
    "queue-too-large": (10, "links.0.queue", ("20,000,000,000 B", "4,294,967,295 B")),
    "rate-10-tbit": (8, "links.0.rate", ("10 Tbit/s", "740,741", "lower the rates")),
    "rate-40-gbit": (8, "links.0.rate", ("40 Gbit/s", "17.8 times", "lower the rates")),
    "swept-too-short": (16, "experiment.sweep.distance_km", ("0.0025 ms", "at 1km")),
    "window-beyond-tcp": (14, "experiment.arms", ("4501 MB", "TCP can announce 1074 MB")),
}


def judge(name: str) -> None:
    plan = expand(load(BAD / f"{name}.yaml"))
    check(plan, TWO_CORES, memory_bytes=MEMORY_BYTES).raise_if_refused()


def refusal(name: str) -> TopologyError:
    with pytest.raises(TopologyError) as caught:
        judge(name)
    return caught.value


def assert_readable(name: str, line: int, key: str, words: tuple[str, ...]) -> TopologyError:
    error = refusal(name)
    assert error.exit_code == EXIT_USAGE
    place = f"{BAD / name}.yaml:{line}: " + (f"{key}: " if key else "")
    lines = str(error).splitlines()
    mine = [
        text for text in lines if text.startswith(place) and all(word in text for word in words)
    ]
    assert mine, f"no line begins with {place!r} and holds {words}:\n{error}"
    assert all(text.isprintable() and len(text) < 500 for text in lines)
    assert "Traceback" not in str(error)
    return error


@pytest.mark.parametrize("name", sorted(MALFORMED.keys() - INFEASIBLE.keys()))
def test_a_malformed_file_is_refused_with_its_line_and_key(name: str) -> None:
    error = assert_readable(name, *MALFORMED[name])
    assert not isinstance(error, InfeasibleError)


@pytest.mark.parametrize("name", sorted(INFEASIBLE))
def test_an_infeasible_file_is_refused_with_figure_and_remedy(name: str) -> None:
    assert isinstance(assert_readable(name, *INFEASIBLE[name]), InfeasibleError)


def test_every_bad_file_has_an_expectation() -> None:
    files = {path.stem for path in BAD.glob("*.yaml")}
    assert files == MALFORMED.keys() | INFEASIBLE.keys()
    assert len(files) >= 30


def test_all_problems_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "three.yaml"
    text = (BAD / "bare-number.yaml").read_text()
    path.write_text(text.replace("distance_km: 500", "distanse: 500").replace("tuned", "tunned"))
    with pytest.raises(TopologyError) as caught:
        load(path)
    keys = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert keys == ["links.0.rate", "links.0.distanse", "links.1.distanse", "experiment.arms.0"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "not a regular file"),
        (lambda path: path.write_bytes(b"#" * (1 << 20) + b"\n"), "larger than"),
    ],
    ids=["missing", "directory", "huge"],
)
def test_what_is_no_topology_file_is_refused(make: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "topology.yaml"
    assert callable(make)
    make(path)
    with pytest.raises(TopologyError, match=words) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_device_is_not_read() -> None:
    with pytest.raises(TopologyError, match="not a regular file"):
        load("/dev/zero")


def test_a_name_with_a_nul_byte_is_refused() -> None:
    with pytest.raises(TopologyError, match="no file name"):
        load("a\0b")

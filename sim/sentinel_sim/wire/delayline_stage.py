"""The delay stage on kernels without netem: drives the `sentinel-delayline` program.

The program holds NFQUEUE packet ids inside the wire's namespace; see delayline/main.c.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinel_sim.errors import EmulationError
from sentinel_sim.plan.model import LinkPlan
from sentinel_sim.wire.names import WireNames, other
from sentinel_sim.wire.shell import Shell, in_namespace

QUEUE_NUMBERS = {"a": 1, "b": 2}
"""By the side from which the packets come."""

ANSWER_TIMEOUT_S = 10.0
REAL_TIME_PRIORITY = 50


def iptables_rules(names: WireNames) -> str:
    """`iptables-restore` text: what comes off the inner pair waits in a queue."""
    lines = ["*mangle"]
    for source in ("a", "b"):
        interface = names.mid(other(source))
        number = QUEUE_NUMBERS[source]
        lines.append(f"-A FORWARD -i {interface} -j NFQUEUE --queue-num {number}")
    return "\n".join((*lines, "COMMIT", ""))


def program_arguments(program: Path, tag: str, priority: int) -> tuple[str, ...]:
    """The command line of one wire's delay line; delays are set later, through its input."""
    return (
        str(program),
        *("--tag", tag),
        *("--priority", str(priority)),
        *(word for number in QUEUE_NUMBERS.values() for word in ("--queue", str(number))),
    )


@dataclass(frozen=True, slots=True)
class QueueDrops:
    """Losses in /proc/net/netfilter/nfnetlink_queue; any of them is unplanned."""

    queue_full: int
    socket_full: int


def parse_queue_drops(text: str) -> dict[int, QueueDrops]:
    """Per queue number, from the kernel's table (columns of nfnetlink_queue.c: seq_show)."""
    drops = {}
    for line in text.splitlines():
        fields = line.split()
        drops[int(fields[0])] = QueueDrops(int(fields[5]), int(fields[6]))
    return drops


class DelayLineProcess:
    """One running `sentinel-delayline`: commands in, one JSON line back for each."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    def start(cls, arguments: tuple[str, ...], env: dict[str, str]) -> DelayLineProcess:
        """Start it and wait until its queues are bound."""
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=env,
            start_new_session=True,
        )
        line = cls(process)
        try:
            if (answer := line._answer()) != "ready":
                raise EmulationError(f"the delay line said {answer!r} instead of 'ready'")
        except BaseException:
            line.kill()
            raise
        return line

    def _answer(self) -> str:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_TIMEOUT_S)
        text = self._process.stdout.readline().strip() if ready else ""
        if not text:
            ended = self._process.poll() is not None
            complaint = self._process.stderr.read().strip() if ended else ""
            raise EmulationError(
                f"the delay line (pid {self.pid}) does not answer: {complaint or 'no message'}"
            )
        return text

    def command(self, text: str) -> str:
        """Send one command line, return the one line that answers it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{text}\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise EmulationError(f"the delay line (pid {self.pid}) has died") from error
        answer = self._answer()
        if answer.startswith("error"):
            raise EmulationError(f"the delay line refused {text!r}: {answer}")
        return answer

    def stats(self) -> list[dict[str, Any]]:
        """Its own counters, one mapping for each direction."""
        stats: list[dict[str, Any]] = json.loads(self.command("stats"))
        return stats

    def wait(self) -> None:
        """Wait until it has ended by itself."""
        self._process.wait(timeout=ANSWER_TIMEOUT_S)

    def kill(self) -> None:
        """End one that does not read its input."""
        self._process.kill()
        self.stop()

    def quit(self) -> None:
        """End a delay line: at the end of its input alone it would take us for dead, and go on."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("quit\n")
        self.stop()

    def stop(self) -> None:
        """Close its input; kill it when that does not end it."""
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                # A command that a dead line never read cannot be flushed any more.
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        try:
            self._process.wait(timeout=ANSWER_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class DelayLineStage:
    """Both directions' delay of one wire, on NFQUEUE."""

    backend = "delayline"

    def __init__(
        self, names: WireNames, shell: Shell, program: Path, iptables: str, env: dict[str, str]
    ) -> None:
        self._names = names
        self._shell = shell
        self._program = program
        self._iptables = iptables
        self._env = env
        self._process: DelayLineProcess | None = None

    @property
    def process(self) -> DelayLineProcess:
        """The running program."""
        if self._process is None:
            raise EmulationError(f"wire {self._names.index}: the delay line is not running")
        return self._process

    def start(self) -> int:
        """Bind the queues, then send the packets there. Returns the program's pid."""
        namespace = self._names.namespace
        tag = f"{namespace}-delayline"
        arguments = program_arguments(self._program, tag, REAL_TIME_PRIORITY)
        self._process = DelayLineProcess.start(in_namespace(namespace, *arguments), self._env)
        self._shell.run(
            in_namespace(namespace, f"{self._iptables}-restore", "--noflush"),
            iptables_rules(self._names),
        )
        return self._process.pid

    def set(self, source: str, link: LinkPlan, delay_ns: int, seed: int) -> None:
        """Delay what comes from `source` by `delay_ns` (base cost already subtracted)."""
        self.process.command(
            f"delay {QUEUE_NUMBERS[source]} {delay_ns} {link.jitter_ns} {int(link.reorder)} {seed}"
        )

    def held_packets(self) -> int:
        """Packets inside the stage now."""
        return sum(int(line["held"]) for line in self.process.stats())

    def drops(self) -> dict[str, dict[str, int]]:
        """Unplanned drops since start, by source side and cause."""
        text = self._shell.run(
            in_namespace(self._names.namespace, "cat", "/proc/net/netfilter/nfnetlink_queue")
        )
        by_number = parse_queue_drops(text)
        if not by_number.keys() >= set(QUEUE_NUMBERS.values()):
            raise EmulationError(
                f"wire {self._names.index}: nobody listens to its queues any more; the delay line"
                f" (pid {self.process.pid}) has died"
            )
        return {
            source: {
                "delayline_queue_full": by_number[number].queue_full,
                "delayline_socket_full": by_number[number].socket_full,
            }
            for source, number in QUEUE_NUMBERS.items()
        }

    def describe(self) -> dict[str, Any]:
        """For the result's environment and raw log."""
        return {"backend": self.backend, "own_view": self.process.stats()}

    def stop(self) -> None:
        """End the program; packets still held are dropped by the kernel."""
        if self._process is not None:
            self._process.quit()
            self._process = None

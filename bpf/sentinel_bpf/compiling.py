"""Compile sources beside other work: each in a process of its own.

bcc takes one to two seconds for each source and changes the working directory meanwhile, which a
process with threads cannot stand. A child has neither problem, and two of them use two processors.
Where a source was compiled before (object_cache.py) no child is started.

    python -m sentinel_bpf.compiling flow_math      what the child does: the compilation, as JSON
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping

from sentinel_bpf.compiled import CompiledObject
from sentinel_bpf.errors import BpfError, BpfUnavailableError
from sentinel_bpf.flow_tc import flow_math_tc_recipe
from sentinel_bpf.loader import CompiledSource, Recipe, flow_math_recipe, wire_recipe

RECIPES: Mapping[str, Callable[[], Recipe]] = {
    "flow_math": flow_math_recipe,
    "flow_math_tc": flow_math_tc_recipe,
    "wire": wire_recipe,
}
"""By the name the child is given."""


class Compilation:
    """One source on its way; begins at once."""

    def __init__(self, name: str) -> None:
        """`name`: of RECIPES."""
        self.name = name
        self._lock = threading.Lock()
        self._recipe = RECIPES[name]()
        self._source = self._recipe.cached()
        self._child = None if self._source is not None else start_compiler(name)

    def source(self) -> CompiledSource:
        """The compiled source; waits for it the first time. It is closed by `close`.

        Safe to call from several threads at once. Raises BpfUnavailableError without bcc, headers
        or privilege, BpfError if it does not compile.
        """
        with self._lock:
            if self._source is None:
                if self._child is None:
                    raise BpfError(f"{self.name}: its compilation failed, or was given up")
                child, self._child = self._child, None
                text, _ = child.communicate()
                compiled = answer(self.name, text, child.returncode)
                self._source = CompiledSource(self._recipe.path, compiled)
            return self._source

    def close(self) -> None:
        """Free the source, or give it up; harmless a second time."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None
        if self._source is not None:
            self._source.close()


def start_compiler(name: str) -> subprocess.Popen[str]:
    """A process that compiles a source of RECIPES and prints what it found."""
    # The child must find what we found, however that was: installed, or by sys.path alone.
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        (sys.executable, "-m", "sentinel_bpf.compiling", name),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )


def answer(name: str, text: str, code: int) -> CompiledObject:
    """What the child found. Raises what it raised."""
    if code != 0:
        raise BpfError(f"{name}: the process that compiled it ended with {code}")
    document = json.loads(text)
    if "compiled" in document:
        return CompiledObject.from_json(document["compiled"])
    kind = BpfUnavailableError if document["unavailable"] else BpfError
    error = kind(document["error"])
    error.cure = document["cure"]
    raise error


def main(name: str) -> None:
    """Compile, and print {"compiled": ...}, or {"error", "cure", "unavailable"}."""
    try:
        with RECIPES[name]().compile() as source:
            document: dict[str, object] = {"compiled": source.compiled.to_json()}
    except BpfError as error:
        unavailable = isinstance(error, BpfUnavailableError)
        document = {"error": str(error), "cure": error.cure, "unavailable": unavailable}
    sys.stdout.write(json.dumps(document))


if __name__ == "__main__":
    main(sys.argv[1])

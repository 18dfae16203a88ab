"""Generate the Python modules and type stubs of every .proto under `sentinel_proto`.

Run it after each change of a .proto file: `python protos/generate.py`. The output is committed;
`tests/unit/proto` generates again into a temporary folder and compares. The proto path equals
the Python path (`-I protos`), so the generated imports are right as they are.
"""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent


def proto_files(root: Path = PROTOS) -> tuple[str, ...]:
    """Every .proto below `root`, relative to it, sorted."""
    return tuple(sorted(str(path.relative_to(root)) for path in root.rglob("*.proto")))


def protoc_arguments(root: Path, out: Path) -> tuple[str, ...]:
    """The protoc command line that writes modules and stubs for all of `root` into `out`."""
    return (
        "protoc",
        f"-I{root}",
        f"-I{files('grpc_tools') / '_proto'}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out={out}",
        f"--mypy_grpc_out={out}",
        *proto_files(root),
    )


def generate(out: Path, root: Path = PROTOS) -> None:
    """Write the generated files into `out`. Raises RuntimeError if protoc refuses."""
    # protoc finds its plug-ins protoc-gen-mypy and protoc-gen-mypy_grpc on PATH.
    scripts = sysconfig.get_path("scripts")
    os.environ["PATH"] = f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"
    status = protoc.main(protoc_arguments(root, out))
    if status != 0:
        raise RuntimeError(
            f"protoc ended with status {status} on {', '.join(proto_files(root))}; "
            "its messages are above"
        )


def main(argv: list[str]) -> int:
    """Generate beside the sources, or into `--out`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=PROTOS, help="folder to write into")
    generate(parser.parse_args(argv).out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What can go wrong between Python and the kernel's BPF machinery.

A message says where, what and got what, lower case, without a full stop; `cure` is a command or a
short instruction. The package imports nothing of ours, so the tree is its own; callers translate.
"""

from __future__ import annotations


class BpfError(Exception):
    """A BPF program, map or attachment could not be made or used."""

    def __init__(self, message: str, *, cure: str | None = None) -> None:
        super().__init__(message if cure is None else f"{message}; {cure}")
        self.cure = cure


class BpfUnavailableError(BpfError):
    """The host lacks what BPF needs: a package, headers, a privilege or a kernel feature."""


class VerifierError(BpfError):
    """The kernel's verifier refused a program. `log` is its whole account."""

    def __init__(self, message: str, *, log: str) -> None:
        super().__init__(message)
        self.log = log

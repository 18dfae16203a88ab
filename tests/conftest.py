"""For all tests: Ctrl-C means what it means in a terminal."""

from __future__ import annotations

import signal

# A shell that starts a job in the background lets it ignore Ctrl-C, and so would every program that
# a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

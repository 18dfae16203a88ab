"""Decisions without I/O: inputs and time in, values out. Imports no clock, socket or thread.

Beside the cores of the data plane (framing, payload, relaying, series, ...) there are five
packages for what nodes know of each other, driven by the daemon and by the simulator alike:

    control   what neighbours say, and who is believed: messages, codec, sessions, endpoint
    sync      flow state ahead of data: forecasts, corrections, digests, phase error
    custody   local confirmation that keeps its promise: ledgers, running hash, resume
    health    failure detectors, watchdogs, repair
    start     how fast a flow may begin (RFC 9959), and what is made ready before it
"""

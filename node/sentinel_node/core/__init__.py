"""Decisions without I/O: inputs and time in, values out. Imports no clock, socket or thread."""

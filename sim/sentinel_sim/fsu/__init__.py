"""The FSU by hand: on any interface of this host, and in running experiments.

registry   attach, detach, what is attached where, what is left behind
keys       what `fsu top` shows, and how keys change it (no I/O)
rows       lines of `fsu top`: rates, sorting, filters (no I/O, no clock)
source     where the flows come from
table      the lines as a table for people
"""

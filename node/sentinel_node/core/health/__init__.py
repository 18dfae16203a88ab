"""Who is alive, what does not move, and what is done about it.

detectors   adaptive (phi accrual) and fixed (BFD-like) failure detectors
watchdogs   progress (delivered moves while there is backlog) and phase
repair      incidents to repair steps, with back-off, rate limit, and a record of each
"""

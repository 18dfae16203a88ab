"""What emulates one link: a namespace of its own between two nodes.

Layout of one wire, for both directions alike (a -> b shown):

    node a ═ outer_a ──mirror──→ mid_a ══ mid_b ────────────→ outer_b ═ node b
                                 │          │                    │
                     rate + finite queue    seeded loss (XDP),   delay: netem (qdisc),
                     (HTB or TBF)           per wire packet      or delayline (NFQUEUE)

Rate and queue come first, then loss, then delay and jitter: each a stage of its own, read back
on its own. Nothing sits on an interface of a node that originates traffic.
"""

"""What a result says of the source design's claims (pure: no I/O, no clock).

`registry` lists every claim and how it is tested or why it cannot be; `judging` turns a result
document into verdicts; `statistics` has the tests behind them; `overlays` and `published` are what
theory and the literature say of the same experiment.
"""

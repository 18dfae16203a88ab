"""How often a run is made, apart from what makes it: the command line names it in its help."""

ATTEMPTS_MOST = 3
"""At one run, while the host disturbs it by timing alone."""

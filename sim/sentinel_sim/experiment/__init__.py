"""From a plan to a result that can be believed.

`metrics` turns raw measurements into figures, `gate` decides whether a run may be believed,
`summary` pools the believed ones, `results` and `rawlog` write them down, `runner` drives a
backend through the plan. All but the last three are pure.
"""

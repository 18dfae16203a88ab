"""Faults as input: which fault strikes when, and what a link is like meanwhile (pure).

schedule    when each fault of a run begins and ends; drives whoever can inject
condition   what all the faults on one link make of it together
events      what is written down of faults and repairs
random      faults drawn at random, for campaigns
"""

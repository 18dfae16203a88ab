"""Faults as input, and their repair from outside the nodes (pure).

schedule     when each fault of a run begins and ends
condition    what all the faults on one link make of it together
operations   what is to be done when a fault begins or ends
supervision  who is watched, what is taken for broken, which repair steps follow
events       what is written down of faults and repairs
"""

"""The fault campaign: real daemons under load, struck at random, and every confirmed byte counted.

drawing        which faults and which transfers there are (pure)
judging        what became of a transfer, against what was confirmed to us (pure)
flowing        when data flowed again after a fault (pure)
record         what one round gave (pure)
document       the record of a campaign, and its figures (pure)
confirmations  the log of what was confirmed, kept outside all nodes
feeding        the bytes of a pipe, given once
lives          traffic whose sender may be started anew
transfer       one transfer from its first command to its end
rounds         faults and transfers on a network that stands
runner         the whole campaign
display        tables for people
"""

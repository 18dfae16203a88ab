"""The dual-lane benchmark: the same work in the kernel and in user space, measured in one run.

Cores without I/O:
    lanes       what is compared, and how often each copies a packet
    schedule    the steps of a run and how long they should take
    walk        which packet belongs to which flow, as generator and test programs have it
    search      packets per second at zero loss: the binary search of RFC 2544
    estimates   paired ratios and differences with their intervals
    claims      the source design's claims, judged
    summary     one row of figures for each lane
    comparing   two results, side by side
Drivers:
    box         two namespaces and the veth pairs between them
    generator   the load generator (C), pinned to one CPU
    kernel_lanes, worker, user_lanes   the lanes, pinned to the other CPU
    observer    the work itself in Python, on the integer reference
    costs       program cost by BPF_PROG_TEST_RUN and its like in Python
    trials      one trial: send, wait until all is through, read every meter
    runner      the whole run, in the order of the schedule

Apart from all this, rtt: the FSU's round-trip times beside those of the kernel's TCP.
"""

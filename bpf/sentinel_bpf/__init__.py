"""The kernel side of sentinel-sim, and the Python that compiles, attaches and reads it.

    headers    kernel headers for bcc: find and link them
    loader     compile a source once, instantiate it with maps of its own; the only user of bcc
    attach     XDP by bpf_link, tc by clsact, in any network namespace
    maps       read and write maps by descriptor; needs neither bcc nor, for reading, privilege
    flow_map   flows and counters of the FSU (flow_math.c)
    wire       seeded loss and independent stamps of a wire (wire.c)
    loss       the loss pattern in Python
    reference  the flow arithmetic in Python, bit for bit
    predict_abi, predict_reference   the predictor's state and arithmetic (sentinel_predict.h)
    training   how the predictor's network is trained, judged and loaded (no part of what runs)
    test_run   BPF_PROG_TEST_RUN, with frames made by `frames`
    abi        ctypes mirror of the C headers
    syscalls   bpf(2), with its structures in `uapi`
    netns      do something inside another network namespace

Node daemons import flow_map (and with it maps, abi, syscalls, uapi): standard library only.
"""

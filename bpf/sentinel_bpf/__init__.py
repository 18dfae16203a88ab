"""The kernel side of sentinel-sim, and the Python that compiles, attaches and reads it.

    headers    kernel headers for bcc: find and link them
    loader     compile a source once, instantiate it with maps of its own; the only user of bcc
    attach     XDP by bpf_link, tc by clsact, in any network namespace
    bpffs      pins: links, programs and maps that need no process
    unit       an FSU at work: attached at one or both ends, pinned, recorded
    heart      beats the FSU's heart, and says how regularly
    snapshot   flows with their predictions
    maps       read and write maps by descriptor; needs neither bcc nor, for reading, privilege
    flow_map   flows and counters of the FSU (flow_math.c)
    pending    RTT samples that wait for the next packet, taken by whoever reads
    wire       seeded loss and independent stamps of a wire (wire.c)
    loss       the loss pattern in Python
    heartbeat  beat, or the FSU keeps its hands off
    settings   flood guard and idle time of a running FSU
    ageing     sweep silent flows out of the maps
    reference  the FSU in Python, bit for bit
    predict_abi, predict_reference   the predictor's state and arithmetic (sentinel_predict.h)
    model      the network of a running FSU: installed, swapped
    training   how the predictor's network is trained, judged and loaded (no part of what runs)
    test_run   BPF_PROG_TEST_RUN, with frames made by `frames`
    drive      test runs over many flows and over recorded traffic (fsu_drive.c)
    cost       what a program costs per packet, paired and interleaved
    abi        ctypes mirror of the C headers
    syscalls   bpf(2), with its structures in `uapi`
    netns      do something inside another network namespace

Node daemons import flow_map (and with it maps, abi, syscalls, uapi, pending, reference): standard
library only.
"""

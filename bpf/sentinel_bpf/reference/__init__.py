"""The FSU in Python integers, bit for bit: for tests, and to see a flow as the kernel would.

    parse  from a frame to the flow key and the TCP numbers   sentinel_packet.h, sentinel_tcp.h
    state  the fields of a half, and its counters             sentinel_abi.h, sentinel_count.h
    rate   windowed and averaged throughput                   sentinel_rate.h
    rtt    SEQ and TSval probes                               sentinel_rtt.h
    bdp    bandwidth-delay product and optimal buffer         sentinel_bdp.h
    fsu    flows, guards, outcomes: the whole program         flow_math.c, sentinel_guard.h

The predictor's twin is sentinel_bpf.predict_reference. Python integers never overflow: results
are masked where C would wrap.
"""

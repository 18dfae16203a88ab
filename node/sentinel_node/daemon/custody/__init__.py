"""The custody data plane: whoever confirms bytes keeps them until the receiver has them.

    orders      from commands to what is below
    hub         custody messages from the control plane to the flow that they concern
    wake        how other threads wake a flow's thread; in_flight: words faster than the books
    onward      where a flow goes next; downlink: the connection there, and resuming it; patience
    uplink      the incoming connection: header, bytes into memory, trailer
    relay       a custodian; relay_books, relay_feed, relay_flow: what is said of one flow there,
                what is held of it, its thread
    journal     a custodian's disk; relay_disk: memory and disk together
    sources     what a sender sends: made from a seed, a file, a pipe
    sender      the sending end; flow_spec: what it is asked for
    opening     how the connections of an announced flow begin
    receiver    the receiving end; receiver_flow: one flow there, flow_reader: one connection of it,
                flow_file: its disk

One thread per flow moves bytes; handlers on the event loop's thread keep the books of the ledgers
(core.custody) and wake it. Attempts are numbered per link, not per path: a broken link is repaired
by its two ends, and nobody upstream needs to hear of it.
"""

"""The FSU's passive RTT beside what the kernel's own TCP says of the same flows.

    agreement   pairs of figures, their errors, and the limits (no I/O)
    sock_diag   TCP_INFO of all sockets of a namespace at once
    flows       the traffic: processes with many real TCP connections
    measuring   two nodes and a wire, FSUs at both, and one case after the other
    display     the table

What is compared is the same thing, or nearly so. TCP's round trip begins when a segment leaves the
TCP layer and ends when its acknowledgement gets there. The FSU's begins at the outer end of the
node's interface, as the segment enters the wire, and ends at the inner end, as the acknowledgement
leaves it. What lies between TCP and these places (the node's queueing discipline and veth, some 10
to 70 us here) is in the kernel's figure and not in the FSU's. Delayed acknowledgements, and the
time that the far end takes, are in both.
"""

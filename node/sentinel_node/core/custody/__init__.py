"""Custody: whoever confirms bytes keeps them until the receiver has them.

    running_hash  a hash of the stream that can be resumed from an offset and 32 bytes
    source        the sender's ledger: what was confirmed, what may be freed, where to resume
    store         a custodian's ledger: bounded, refuses with a reason, frees what is delivered
    delivery      the receiver's ledger: what the application has, and its acknowledgements

Two acknowledgements, never one. *Custody* is given by the next node; it opens the window and is
what a sender's application waits for. *Delivered* is given by the receiving application alone,
with offset and running hash, and is what frees data. (Durable custody may free data too, where
the sender opted in: then the custodian's disk stands in for the sender's memory.)

A confirmation that the outside may rely on is more than an acknowledgement of custody, if the
source cannot be read again: see `source.SourceLedger.confirmed_bytes`.

The ledgers count offsets; the bytes themselves stay with the driver.
"""

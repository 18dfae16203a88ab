"""The node daemon, from the outside in.

- `main`: command line, signals, exit codes. `server` runs a node for a controller, `standalone`
  one by itself on real hosts.
- `service`: the gRPC methods; `convert`: messages to values and back; `client`: the other end.
- `runs`, `run`: what belongs to one run, and its orderly end.
- `sender`, `receiver`, `relay` (with `relay_lanes`): the data plane. Each connection has one
  thread with non-blocking sockets, which sleeps in poll(2) on the socket and on the run's
  `stop` eventfd; hashing, copying and encrypting run without the interpreter lock.
- `connection`, `sampler`, `tcp_info`, `process_stats`, `records`: what is measured.
- `sockets`: options and errors of TCP sockets. `fsu`: the FSU's maps, read only.
"""

import os

# gRPC reads this when it is imported. Its log repeats, call by call, what ours says once.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

"""Flow state that several nodes share: forecasts ahead of data, corrected only when wrong.

flow_table   what this node knows of every flow, from whom; bounded, never goes back
slopes       at which rate a flow is believed to go on: hold, linear, the FSU's predictor
forecaster   both ends of dual prediction: when to correct, and how wrong a replica may be
link         one direction between two neighbours: latest value wins, digests, resync
phase        phase error in seconds, on a uniform grid of the clock
validation   is the receiver's view of a flow that of upstream?
"""

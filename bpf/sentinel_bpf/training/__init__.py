"""Training and judging the predictor's network, off line.

    traffic    generated flows with known truth, of every kind
    capture    flows of a packet capture (they only test, and never train)
    series     packets to bytes per interval
    library    the headers of the kernel program, compiled for user space
    fit        the network's weights: least absolute error, then integers
    weights    the file of weights and the model map's value
    train      python -m sentinel_bpf.training.train: makes predict_weights.json
    evaluate   python -m sentinel_bpf.training.evaluate: MASE of every expert on every trace

Nothing here is needed to run the predictor, except `weights`.
"""

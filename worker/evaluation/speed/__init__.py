"""Speed of a checkpoint: prefill and decode throughput, memory, and 2:4 sparse kernels."""

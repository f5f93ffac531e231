"""Simulated CUDA devices, computed by the CPU, that refuse what CUDA refuses.

    with strict_cuda(devices=2) as cuda:                     # torch.cuda.is_available() is True in here
        sparsify(source, target, recipe, tokens, device="cuda:1")

A device tensor is a wrapper subclass whose device is `cuda:N` for PyTorch's C++ code, too; a hidden CPU tensor has its numbers.
`StrictCuda`, a dispatch mode, sees every operator and runs the CPU kernel on the hidden tensors. It

- refuses operands on different devices, types without a kernel, NumPy on device tensors, unknown device numbers and, in
  deterministic mode, operators without a deterministic kernel (`rules`);
- refuses the host's access to pinned memory while an asynchronous copy may still use it (`pinned_memory`);
- limits and accounts memory per device, and pinned memory (`device_memory`, `pinned_memory`);
- counts operators, kernel launches, host synchronisations, copied bytes and FLOP by line of code (`counts`), and predicts seconds
  by a clock of the host and one of the device (`costs`), which CUDA events read;
- with `numbers=False` computes shapes only, so that a block of billions of FLOP takes seconds (`shapes`).

Not simulated: numerics of CUDA kernels, several streams, other threads, fragmentation, workspaces of libraries, CUDA generators,
CUDA graphs, 2:4 kernels. Needs PyTorch's CPU build on Linux.
"""

from tests.support.strict_device.costs import Rates as Rates
from tests.support.strict_device.counts import Cost as Cost
from tests.support.strict_device.counts import Counts as Counts
from tests.support.strict_device.cuda_module import strict_cuda as strict_cuda
from tests.support.strict_device.mode import StrictCuda as StrictCuda

"""What holds for every test."""

from __future__ import annotations

import torch

# As actors on a CPU do: the last bits of a convolution depend on the number of threads.
torch.set_num_threads(1)

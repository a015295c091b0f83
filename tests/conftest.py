"""What holds for every test, and which tests may run at the same time."""

from __future__ import annotations

import torch
from xdist.scheduler import LoadScopeScheduling

# As actors on a CPU do: the last bits of a convolution depend on the number of threads.
torch.set_num_threads(1)

NODES = ("tests/cluster/", "tests/jobs/")


class Files(LoadScopeScheduling):
    """Tests of one file go to one process in their order; all that start nodes of Ray go to the same one.

    Two clusters at once would only wait for each other, and what they have in common is started once.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "nodes" if nodeid.startswith(NODES) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config, log):
    """The distribution of ``pytest -n 2``."""
    config.option.loadscopereorder = False  # the order is that of the folders: nodes early
    return Files(config, log)

"""A node that joins a cluster on the loopback interface, until its standard input ends.

``ray start`` joins at other addresses alone. Run it as ``python -m tests.jobs.join GCS_ADDRESS AGENT_PORT``,
and with the node's CPUs and GPUs if they are not 1 and 0. It prints the node's id.
"""

from __future__ import annotations

import sys


def main(address: str, port: str, cpus: str = "1", gpus: str = "0") -> None:
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    parameters = RayParams(
        gcs_address=address,
        node_ip_address="127.0.0.1",
        num_cpus=float(cpus),
        num_gpus=int(gpus),
        object_store_memory=100 * 2**20,
        dashboard_agent_listen_port=int(port),
    )
    node = Node(parameters, head=False, shutdown_at_exit=True)
    print(node.node_id, flush=True)
    sys.stdin.read()
    node.kill_all_processes(check_alive=False, allow_graceful=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A node that joins a cluster on the loopback interface, until its standard input ends.

``ray start`` joins at other addresses alone. Run it as ``python -m tests.jobs.join GCS_ADDRESS AGENT_PORT``.
"""

from __future__ import annotations

import sys


def main(address: str, port: str) -> None:
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    parameters = RayParams(
        gcs_address=address,
        node_ip_address="127.0.0.1",
        num_cpus=1,
        object_store_memory=100 * 2**20,
        dashboard_agent_listen_port=int(port),
    )
    node = Node(parameters, head=False, shutdown_at_exit=True)
    sys.stdin.read()
    node.kill_all_processes(check_alive=False, allow_graceful=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Heavy stages as Ray jobs: submitting and watching them here, running them on the cluster."""

"""Scripts that measure, side by side in one run, and print ratios; none needs Ray, MLflow or DVC."""

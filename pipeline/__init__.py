"""Named sliders for a pre-trained StyleGAN: sample, label, train, evaluate and publish StyleAE editors."""

import os

# Nothing phones home: each library reads its own switch, when it is imported or used for the first time.
for _switch, _off in {
    "DO_NOT_TRACK": "true",  # MLflow, and others that honour it
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DVC_NO_ANALYTICS": "1",
    "ITERATIVE_DO_NOT_TRACK": "1",  # what DVC brings along
}.items():
    os.environ.setdefault(_switch, _off)

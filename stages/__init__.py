"""The stages of ``dvc.yaml``, one thin script each: ``python -m stages.NAME``."""

"""Metrics: pure functions on tensors and arrays, one family a file."""

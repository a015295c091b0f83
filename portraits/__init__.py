"""The embedded domain: portraits painted from named factors, and the recipe for `models/portraits64`."""

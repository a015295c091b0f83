"""Network folders out of other people's models; what stages never need, so that it re-runs none of them."""

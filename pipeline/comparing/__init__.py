"""All editors side by side: their numbers, pictures and failures, in one report."""

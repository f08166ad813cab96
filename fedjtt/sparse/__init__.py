"""Dynamic sparse training: which weights are live, how that changes, and what of it travels."""

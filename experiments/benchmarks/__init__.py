"""Performance as ratios of runs side by side; `make bench` runs all of them."""

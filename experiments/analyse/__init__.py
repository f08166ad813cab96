"""``fedjtt analyse``: what finished runs, or small grids of their own, say beyond accuracies."""

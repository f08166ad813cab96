"""The algorithms, one file each, both halves in it: what a node does and what the server does."""

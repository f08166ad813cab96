"""``fedjtt reproduce``: published tables run again, and ours beside what was published, cell by cell."""

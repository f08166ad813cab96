"""``fedjtt data``: the datasets, their groups, and whether their files are what was published."""

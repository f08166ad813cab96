"""The run configuration's keys, a file for each family; fedjtt.config makes one schema of them."""

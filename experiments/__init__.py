"""The command line, sweeps, reports and benchmarks."""

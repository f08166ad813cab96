"""Secure aggregation (SecAgg+): primitives, neighbours and fixed point, apart from any message."""

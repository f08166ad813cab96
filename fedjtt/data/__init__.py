"""Datasets: made, grouped, spread over machines."""

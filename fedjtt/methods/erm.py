"""ERM: plain training on all examples alike, the bound from below."""

import torch
from torch import Tensor

from fedjtt.methods.base import Node, Payload, Server, Trained
from fedjtt.methods.census import count_population
from fedjtt.methods.fit import FitPlan, fit_rounds


class ERM:
    """Empirical risk minimisation."""

    name = "erm"

    def example_weights(self, node: Node, request: Payload) -> Tensor:  # noqa: ARG002 (the protocol's signature)
        """Every example stands once in an epoch: int64 ``[n]``."""
        return torch.ones(len(node.data.train), dtype=torch.int64)

    def coordinate(self, server: Server) -> Trained:
        """Count the examples, then train."""
        population = count_population(server, "server" if server.config.robust == "central" else "machines")
        return fit_rounds(server, FitPlan(population.total, train_counts=population.group_counts))

"""Group-balanced sampling by the true groups: the oracle, an upper bound that needs every attribute."""

import torch
from torch import Tensor

from fedjtt.errors import ConfigError
from fedjtt.methods.base import Node, Payload, Server, Trained
from fedjtt.methods.census import count_population
from fedjtt.methods.fit import FitPlan, fit_rounds


class GroupBalanced:
    """Sampling weight 1/n_g with the groups' global sizes (Idrissi et al. 2022): every group equally often."""

    name = "group-balanced"

    def example_weights(self, node: Node, request: Payload) -> Tensor:
        """Return float64 ``[n]``: N / (G n_g) with the global n_g, so that the weights of all machines sum to N."""
        part = node.data.train
        counts = torch.tensor(request.integers("group-counts"), dtype=torch.float64)
        present = int((counts > 0).sum())
        return (counts.sum() / (present * counts))[part.dataset.group[part.rows]]

    def coordinate(self, server: Server) -> Trained:
        """Add up the groups' sizes, then train; an epoch is as long as ERM's."""
        population = count_population(server, "server" if server.config.robust == "central" else "machines")
        if population.group_counts is None:
            raise ConfigError("method group-balanced needs the attribute of every train example; use jtt or erm")
        request = Payload(numbers={"group-counts": population.group_counts})
        return fit_rounds(server, FitPlan(population.total, request, population.group_counts))

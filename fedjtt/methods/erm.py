"""ERM: plain training on all examples alike, the bound from below."""

import torch

from fedjtt.methods.base import Node, Payload, Server, Trained
from fedjtt.methods.census import count_population
from fedjtt.methods.fit import FitPlan, fit_rounds
from fedjtt.methods.lesson import Lesson


class ERM:
    """Empirical risk minimisation."""

    name = "erm"

    def lesson(self, node: Node, request: Payload) -> Lesson:  # noqa: ARG002 (the protocol's signature)
        """Every example stands once in an epoch."""
        return Lesson(torch.ones(len(node.data.train), dtype=torch.int64))

    def coordinate(self, server: Server) -> Trained:
        """Count the examples, then train."""
        population = count_population(server, "server" if server.config.robust == "central" else "machines")
        return fit_rounds(server, FitPlan(population))

"""Just Train Twice over machines (Liu et al. 2021; the distributed system of methods.md section 1).

1. Identify: each machine finds the examples that a briefly trained model gets wrong, its part of the error set E.
2. The server adds up N and |E| and sets the upsampling factor.
3. Robust training, in which error examples stand `factor` times in an epoch: on the server's data with the union of
   the reported ids (``central``), or on the machines, each with its own errors (``federated``).
"""

from dataclasses import replace

import torch
from torch import Tensor

from fedjtt.errors import EngineError
from fedjtt.inference.error_set import error_copies, upsample_factor, upsampled_size
from fedjtt.methods.base import Node, Payload, Server, Trained
from fedjtt.methods.census import count_population
from fedjtt.methods.fit import FitPlan, fit_rounds
from fedjtt.methods.identify_local import Identified, error_mask, identify_locally, local_steps


class JTT:
    """Distributed Just Train Twice."""

    name = "jtt"

    def example_weights(self, node: Node, request: Payload) -> Tensor:
        """Return int64 ``[n]``: how often every example stands in an epoch.

        The errors are those named in the request (``central``) or the machine's own (``federated``).
        """
        if "error-ids" in request.arrays:
            errors = torch.isin(node.data.train.id, torch.from_numpy(request.arrays["error-ids"].copy()))
        else:
            errors, _ = error_mask(node, local_steps(node, request))
        return error_copies(errors, request.integer("factor"), node.config.upsample_convention)

    def coordinate(self, server: Server) -> Trained:
        """Identify, set the factor from the summed counts, train."""
        config = server.config
        population = count_population(server, "machines")
        found = identify_locally(server, population)
        examples, errors = sum(found.examples), sum(found.errors)
        factor = upsample_factor(examples, errors, config.upsample, config.upsample_fraction)
        _say_what_is_odd(server, examples, errors, factor)
        request = Payload({}, {"factor": factor, "examples": population.total})
        if found.ids is not None:
            _check_ids(found)
            request = replace(request, arrays={"error-ids": found.ids})
        size = upsampled_size(examples, errors, factor, config.upsample_convention)
        trained = fit_rounds(server, FitPlan(size, request, population.group_counts))
        report = {
            **found.report,
            "unevenness": population.unevenness,
            "upsample-factor": factor,
            "nominal": (examples - errors) / errors if errors else None,
        }
        return replace(trained, identification=report, seconds={**trained.seconds, "identify": found.seconds})


def _check_ids(found: Identified) -> None:
    if found.ids is not None and len(found.ids) != sum(found.errors):
        raise EngineError(
            f"the machines announced {sum(found.errors)} errors and named {len(found.ids)} different ids; "
            "two machines hold the same example, or ids were lost"
        )


def _say_what_is_odd(server: Server, examples: int, errors: int, factor: int) -> None:
    advice = "identify with more steps, a smaller batch or another learning rate"
    if errors == 0:
        server.note("the error set is empty: robust training is plain ERM; identify for fewer epochs")
    elif errors == examples:
        server.note("every example is called wrong: no upsampling; identify for longer or with another learning rate")
    elif factor == 1 and server.config.upsample_convention == "copies":  # one further copy is upsampling
        server.note(
            f"the upsampling factor is 1 ({errors} of {examples} examples are called wrong): no upsampling; {advice}"
        )
    elif 3 * errors > examples:
        server.note(f"{errors} of {examples} examples are called wrong, which is hardly a minority; {advice}")

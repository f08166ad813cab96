"""Just Train Twice over machines (Liu et al. 2021; the distributed system of methods.md section 1).

1. Identify: each machine finds the examples that a briefly trained model gets wrong, its part of the error set E.
2. The server adds up N and |E| and sets the upsampling factor.
3. Robust training, in which error examples stand `factor` times in an epoch: on the server's data with the union of
   the reported ids (``central``), or on the machines, each with its own errors (``federated``).
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from fedjtt.errors import EngineError
from fedjtt.inference.error_set import error_copies, upsample_factor, upsampled_size
from fedjtt.methods.base import Node, Payload, Server, Trained
from fedjtt.methods.census import Population, count_population
from fedjtt.methods.fit import FitPlan, fit_rounds, selected_score
from fedjtt.methods.identification import Identified, pack_identified, unpack_identified
from fedjtt.methods.identify_federated import identify_together
from fedjtt.methods.identify_local import find_own, identify_locally
from fedjtt.methods.identify_peers import identify_with_peers
from fedjtt.methods.judge import judged_errors

IDENTIFY: dict[str, Callable[[Server, Population], Identified]] = {
    "local": identify_locally,
    "federated": identify_together,
    "peers": identify_with_peers,
}


def known_errors(node: Node, total: int) -> Tensor:
    """Return the machine's error mask, bool ``[n]``: its own finding, or its last judgement by other models."""
    return find_own(node, total).mask if node.config.identify == "local" else judged_errors(node)


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
            errors = known_errors(node, request.integer("examples"))
        return error_copies(errors, request.integer("factor"), node.config.upsample_convention)

    def coordinate(self, server: Server) -> Trained:
        """Identify, set the factor from the summed counts, train."""
        config = server.config
        population = count_population(server, "machines")
        found = _identified(server, population)
        examples, errors = sum(found.examples), sum(found.errors)
        _check_ids(found)
        fractions = candidate_fractions(config.upsample_fraction, population.num_labels)
        factors = [upsample_factor(examples, errors, config.upsample, fraction) for fraction in fractions]
        runs = [self._robust(server, population, found, factor) for factor in dict.fromkeys(factors)]
        factor, trained = max(runs, key=lambda run: selected_score(run[1], config.selection))
        if not found.report.get("flaw"):  # said already
            _say_what_is_odd(server, examples, errors, factor)
        report = {
            **found.report,
            "unevenness": population.unevenness,
            "upsample-factor": factor,
            "upsample-fraction": fractions[factors.index(factor)] if config.upsample == "auto" else None,
            "nominal": (examples - errors) / errors if errors else None,
        }
        robust = {name: sum(run.seconds[name] for _, run in runs) for name in trained.seconds}
        return replace(trained, identification=report, seconds={**robust, "identify": found.seconds})

    def _robust(self, server: Server, population: Population, found: Identified, factor: int) -> tuple[int, Trained]:
        ids = {} if found.ids is None else {"error-ids": found.ids}
        request = Payload(ids, {"factor": factor, "examples": population.total})
        size = upsampled_size(population.total, sum(found.errors), factor, server.config.upsample_convention)
        return factor, fit_rounds(server, FitPlan(size, request, population.group_counts))


def _identified(server: Server, population: Population) -> Identified:
    """Find the machines' error sets, or take them from the checkpoint of a run that was killed afterwards."""
    if (saved := server.saved("identified")) is not None:
        return unpack_identified(saved)
    found = IDENTIFY[server.config.identify](server, population)
    server.save("identified", pack_identified(found))
    return found


def candidate_fractions(fraction: float | str, num_labels: int) -> list[float]:
    """Return the shares of nominal to try.

    With K labels that each have a shortcut of their own, the shortcut stops telling the label where the other
    attributes together are K - 1 times as common as the label's: ``balance``.
    """
    balance = float(max(1, num_labels - 1))
    if fraction == "validated":
        return sorted({0.8, 2.0, balance})
    return [balance if fraction == "balance" else float(fraction)]


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

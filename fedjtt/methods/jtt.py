"""Just Train Twice over machines (Liu et al. 2021; the distributed system of methods.md section 1).

1. Identify: each machine finds the examples that a briefly trained model gets wrong, its part of the error set E.
2. The server adds up N and |E| and sets the upsampling factor.
3. Robust training, in which error examples stand `factor` times in an epoch: on the server's data with the union of
   the reported ids (``central``), or on the machines, each with its own errors (``federated``).
"""

from dataclasses import replace

from fedjtt.inference.error_set import error_copies, upsample_factor, upsampled_size
from fedjtt.methods.assess import selected_score
from fedjtt.methods.base import Node, Payload, Server, Trained
from fedjtt.methods.census import Population, count_population
from fedjtt.methods.fit import FitPlan, fit_rounds
from fedjtt.methods.identification import Identified
from fedjtt.methods.lesson import Lesson
from fedjtt.methods.minority import errors_of, errors_request, find_minority


class JTT:
    """Distributed Just Train Twice."""

    name = "jtt"

    def lesson(self, node: Node, request: Payload) -> Lesson:
        """Let error examples stand ``factor`` times in an epoch."""
        errors = errors_of(node, request)
        return Lesson(error_copies(errors, request.integer("factor"), node.config.upsample_convention))

    def coordinate(self, server: Server) -> Trained:
        """Identify, set the factor from the summed counts, train."""
        config = server.config
        population = count_population(server, "machines")
        found = find_minority(server, population)
        examples, errors = sum(found.examples), sum(found.errors)
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
        told = errors_request(population, found)
        request = Payload(told.arrays, {**told.numbers, "factor": factor})
        size = upsampled_size(population.total, sum(found.errors), factor, server.config.upsample_convention)
        return factor, fit_rounds(server, FitPlan(population, request, weighted=size))


def candidate_fractions(fraction: float | str, num_labels: int) -> list[float]:
    """Return the shares of nominal to try.

    With K labels that each have a shortcut of their own, the shortcut stops telling the label where the other
    attributes together are K - 1 times as common as the label's: ``balance``.
    """
    balance = float(max(1, num_labels - 1))
    if fraction == "validated":
        return sorted({0.8, 2.0, balance})
    return [balance if fraction == "balance" else float(fraction)]


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

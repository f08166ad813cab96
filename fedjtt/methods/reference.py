"""The short ERM run of ``selection = val-bias-unsupervised``: its predictions stand in for the attribute on validation.

It is the common identification model, whatever ``identify`` says: rounds of plain training on all machines' examples
alike. So it is defined for every method, central or federated, costs nothing where the method identifies with that
model itself, and is computed once in a sweep over methods. Whoever holds validation examples keeps what the model
predicts for them, and from then on counts by label and prediction beside label and attribute.
"""

from collections.abc import Mapping
from dataclasses import replace

from fedjtt.config import RunConfig
from fedjtt.methods.assess import BIAS_UNSUPERVISED, place_of
from fedjtt.methods.base import Array, Payload, Server, Trained
from fedjtt.methods.census import count_population
from fedjtt.methods.identify_federated import seconds_in, train_together


def find_reference(server: Server) -> Mapping[str, Array] | None:
    """Train the model, or take it from the checkpoint, and let the holders of validation examples predict with it.

    Returns
    -------
    mapping or None
        The model and what it took; None where the selection does without.
    """
    if server.config.selection != BIAS_UNSUPERVISED:
        return None
    reference = server.saved("reference")
    if reference is None:
        reference = train_together(server, count_population(server, "machines"))
        server.save("reference", reference)
    request = Payload({"weights": reference["weights"]})
    if not len(reference["weights"]):
        server.note(
            "the reference model of val-bias-unsupervised did not train: its groups are the labels; lower "
            "identify-learning-rate"
        )
    place = place_of(server.config)
    server.ask(place, "refer", request)
    if place == "machines":
        server.keep("refer", request)
    return reference


def with_its_cost(trained: Trained, reference: Mapping[str, Array] | None, config: RunConfig) -> Trained:
    """Return what a method trained with the reference's seconds, unless the method identified with that model."""
    if reference is None or (trained.identification is not None and config.identify == "federated"):
        return trained
    spent = seconds_in(reference)
    own = trained.seconds.get("identify", {})
    return replace(
        trained,
        seconds={**trained.seconds, "identify": {name: own.get(name, 0.0) + value for name, value in spent.items()}},
    )

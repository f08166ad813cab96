"""What the server asks about the run's network: its initial weights, and how many of its numbers are trained."""

from fedjtt.methods.base import PURPOSES, Array, Node, Payload, Server


def purpose_of(purpose: str, request: Payload) -> str:
    """Return what a choice is made for, apart for each of several models that a method trains (``model``, from 0)."""
    number = request.numbers.get("model", 0)
    return f"{purpose}/{number}" if number else purpose


def initial_weights(server: Server, request: Payload | None = None) -> Array:
    """Return the weights to start from: given ones, or the run's, which the server's own node derives from the seed."""
    number = 0 if request is None else request.numbers.get("model", 0)
    if server.initial is not None and not number:
        return server.initial
    about = Payload(numbers={"model": number} if number else {})
    return server.ask("server", "initial", about)[0].arrays["weights"]


def initial(node: Node, request: Payload) -> Payload:
    """Report the run's initial weights.

    ``slot`` in the request: those of a method's second network; ``model``: of another of several alike.
    """
    slot = request.integer("slot") if "slot" in request.numbers else 0
    return Payload(
        {"weights": node.initial_model(slot, purpose_of(PURPOSES[slot], request)).vector.cpu().numpy().copy()}
    )


def network(node: Node, request: Payload) -> Payload:  # noqa: ARG001 (an action's signature)
    """Say how many weights the run's network has, and how many running statistics stand behind them."""
    model = node.network()
    return Payload(numbers={"parameters": len(model.weights), "running": model.running})

"""Splitting a machine's data by models that came to it: the node's half of ``federated`` and ``peers``."""

import time

import torch

from fedjtt.errors import ForgottenError
from fedjtt.evaluation import outputs_of
from fedjtt.inference.splits import agreed
from fedjtt.methods.base import Array, Node, Payload
from fedjtt.methods.identification import Found, forget_found, pack_found, recall_found, report_found
from fedjtt.methods.identify_local import OWN_MODEL, find_own


def judge(node: Node, request: Payload) -> Payload:
    """Split the machine's data by the request's models ``[m, num_parameters]``; keep the set and report counts.

    ``own`` in the request: the machine's own model has a vote too. Without any model the set is empty: nothing that
    was trained is fit to judge.
    """
    start = time.thread_time()
    part, config = node.data.train, node.config
    outputs = [outputs_of(node.load(weights), part.dataset, part.rows) for weights in _models(node, request)]
    label = part.dataset.label[part.rows]
    mask = torch.zeros(len(part), dtype=torch.bool)
    if outputs:
        mask = agreed(outputs, label, config.identify_split, config.peer_vote)
    seconds = time.thread_time() - start
    found = Found(mask, seconds, request.integer("steps"), tries=request.integer("tries"))
    if "forget" in request.numbers:  # the model was trained for something else, and so were its looks
        forget_found(node)
    else:
        node.memo.update(pack_found(found))
    return report_found(node, request, found)


def _models(node: Node, request: Payload) -> list[Array]:
    models = list(request.arrays["models"])
    if request.numbers.get("own"):
        if OWN_MODEL not in node.memo:  # a node that restarted has forgotten it
            find_own(node, request.integer("examples"))
        models.append(node.memo[OWN_MODEL])
    return models


def judged_errors(node: Node) -> torch.Tensor:
    """Return the mask of the machine's last judgement.

    Raises
    ------
    ForgottenError
        Where the machine has none, because it restarted: the server then asks for the judgement again.
    """
    found = recall_found(node)
    if found is None:
        raise ForgottenError("the machine has forgotten its error set")
    return found.mask

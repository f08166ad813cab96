"""Secure aggregation, the node's half: a machine's replies leave it under masks that vanish only in a sum (SecAgg+).

Around one action come three others (Bonawitz et al. 2017; Bell et al. 2020; the server's half is strategies/secure.py):

1. ``keys``: the machine sends the public halves of two fresh key pairs, one for shares and one for masks.
2. ``shares``: told its neighbours' keys, it draws the seed of a mask of its own and hands out Shamir shares of the seed
   and of its private mask key, each encrypted for one neighbour.
3. The action itself, with the neighbours' encrypted shares in the request: the machine does as always, turns its reply
   into integers and adds its own mask and, with opposite signs at the two ends, one for every neighbour.
4. ``reveal``: told who answered, it sends its shares of their own masks' seeds; of the others those of their mask keys.

The machine keeps to the rules that the protocol's secrecy rests on whatever it is asked: it sends nothing of a secured
action in the clear, masks once with a set of keys, and never reveals both secrets of one machine.
"""

from collections.abc import Sequence

import numpy as np

from fedjtt.errors import EngineError, ForgottenError
from fedjtt.methods.base import Action, Array, Node, Payload, Scalar
from fedjtt.methods.summed import FORMS, SECONDS, Flat, flatten
from fedjtt.rules import FEWEST_MACHINES
from fedjtt.secagg.crypto import (
    agreed_key,
    mask_of,
    new_private,
    new_secret,
    pair_mask,
    public_of,
    seal,
    split,
    unseal,
)
from fedjtt.secagg.fixed_point import Ring
from fedjtt.secagg.neighbours import threshold_of

# What a message holds.
QUESTION, QUIET = "question", "quiet"
PUBLIC, NEIGHBOURS, SEALED = "public-keys", "neighbours", "sealed-shares"
SENDERS, MASKED, LAYOUT = "senders", "masked", "layout"
ANSWERED, DROPPED, SHARES = "answered", "dropped", "shares"
CIPHER, MASK = 0, 1
"""Places of a machine's two keys; of its two shares: the seed's, then the mask key's."""

# What a machine keeps between messages, in this order: none of it for longer than it is needed.
_MEMO = "secure-"
_PRIVATE, _SEED, _NEIGHBOURS, _PUBLIC, _OWN, _HELD, _HOLDERS = (
    f"{_MEMO}{name}" for name in ("private", "seed", "neighbours", "public", "own-shares", "held-shares", "holders")
)
_ANSWER = _SAID, _SAID_LAYOUT, _SAID_SECONDS, _QUESTION = tuple(
    f"{_MEMO}said{name}" for name in ("", "-layout", "-seconds", "-question")
)


def keys(node: Node, request: Payload) -> Payload:
    """Begin anew: forget the last exchange's secrets, and send two fresh public keys.

    What the machine has said to the same question is kept: where an exchange has to be made again, a round is not
    trained twice, and a look does not take the first try's for the one before.
    """
    question = np.array([request.integer(QUESTION)])
    same = _QUESTION in node.memo and np.array_equal(node.memo[_QUESTION], question)
    _forget(node, keep=_ANSWER if same else ())
    private = [new_private(), new_private()]
    node.memo.update({_QUESTION: question, _PRIVATE: _rows(private)})
    return Payload({PUBLIC: _rows([public_of(each) for each in private])})


def shares(node: Node, request: Payload) -> Payload:
    """Hand out shares of this machine's secrets, one row for each neighbour."""
    private = _recalled(node, _PRIVATE)
    neighbours = [int(machine) for machine in request.arrays[NEIGHBOURS]]
    public, me = request.arrays[PUBLIC], node.partition_id
    if len(set(neighbours) - {me}) != len(neighbours) or len(neighbours) < FEWEST_MACHINES - 1:
        raise EngineError(f"secure-aggregation needs at least {FEWEST_MACHINES} machines, each once")
    holders, seed = sorted([*neighbours, me]), new_secret()
    threshold = threshold_of(len(holders))
    cut = [split(secret, threshold, len(holders)) for secret in (seed, private[MASK].tobytes())]
    of_holder = dict(zip(holders, zip(*cut, strict=True), strict=True))
    agreed = [agreed_key(private[CIPHER].tobytes(), theirs[CIPHER].tobytes()) for theirs in public]
    sealed = [seal(key, me, machine, of_holder[machine]) for key, machine in zip(agreed, neighbours, strict=True)]
    kept = {_SEED: _row(seed), _NEIGHBOURS: np.array(neighbours), _PUBLIC: public, _OWN: _rows(of_holder[me])}
    node.memo.update(kept)
    return Payload({SEALED: _rows(sealed)})


def secured(name: str, action: Action) -> Action:
    """Return an action whose reply is masked.

    A request that says ``quiet`` reminds a machine of what it has forgotten: it does the work and says nothing.
    """

    def act(node: Node, request: Payload) -> Payload:
        if request.numbers.get(QUIET):
            action(node, request)
            return Payload()
        if SENDERS not in request.arrays:
            raise EngineError(f"secure-aggregation is on: the machine's reply to {name} leaves it only under a mask")
        if _SEED not in node.memo:
            raise ForgottenError("the machine has no keys for this exchange: it has restarted, or used them")
        flat, seconds = _said(node, name, action, request)
        senders = [int(machine) for machine in request.arrays[SENDERS]]
        held = _opened(node, senders, request.arrays[SEALED])
        masked = flat.vector + _masks(node, senders, len(flat.vector))
        own = node.memo[_OWN]
        _forget(node, keep=(*_ANSWER, _NEIGHBOURS))  # one set of keys makes one mask
        node.memo.update({_HOLDERS: np.array([*senders, node.partition_id]), _HELD: np.stack([*held, own])})
        numbers: dict[str, Scalar] = {LAYOUT: flat.layout, **({SECONDS: seconds} if FORMS[name].timed else {})}
        return Payload({MASKED: masked}, numbers)

    return act


def reveal(node: Node, request: Payload) -> Payload:
    """Send the shares that take the masks away: of who answered the seed's, of who dropped out the mask key's."""
    holders = {int(machine): row for row, machine in enumerate(_recalled(node, _HOLDERS))}
    answered, dropped = ([int(machine) for machine in request.arrays[name]] for name in (ANSWERED, DROPPED))
    named = [*answered, *dropped]
    if len(set(named)) != len(named) or not holders.keys() >= set(named):
        raise EngineError("the machine reveals one secret of a machine, never both, and only of its neighbours")
    asked = len(node.memo[_NEIGHBOURS]) + 1
    if len(answered) < threshold_of(asked):
        raise EngineError(f"the machine reveals nothing where only {len(answered)} of {asked} machines answered")
    held = node.memo[_HELD]
    told = [held[holders[machine], 0] for machine in answered] + [held[holders[machine], 1] for machine in dropped]
    _forget(node, keep=_ANSWER)
    return Payload({SHARES: np.stack(told)})


def _said(node: Node, name: str, action: Action, request: Payload) -> tuple[Flat, float]:
    """Return the reply as a vector, and its seconds; where this question has been answered before, that answer."""
    if _SAID not in node.memo:
        asked = {key: array for key, array in request.arrays.items() if key not in (SENDERS, SEALED)}
        reply = action(node, Payload(asked, request.numbers))  # noise on counts is a function of what is asked
        flat = flatten(name, reply, node.config.machines)
        seconds = reply.real(SECONDS) if FORMS[name].timed else 0.0
        told = {_SAID: flat.vector, _SAID_LAYOUT: np.array(flat.layout), _SAID_SECONDS: np.array([seconds])}
        node.memo.update(told)
    layout = [int(length) for length in node.memo[_SAID_LAYOUT]]
    return Flat(node.memo[_SAID], layout), float(node.memo[_SAID_SECONDS][0])


def _opened(node: Node, senders: Sequence[int], sealed: Array) -> list[Array]:
    """Return the neighbours' shares, uint8 ``[2, share]`` each."""
    neighbours = node.memo[_NEIGHBOURS].tolist()
    if not set(senders) <= set(neighbours) or len(set(senders)) != len(senders):
        raise EngineError("the machine was sent shares of others than its neighbours")
    if len(senders) + 1 < threshold_of(len(neighbours) + 1):
        raise EngineError(
            f"the machine sends nothing where only {len(senders)} of {len(neighbours)} neighbours are left"
        )
    private, found = node.memo[_PRIVATE][CIPHER].tobytes(), []
    for machine, text in zip(senders, sealed, strict=True):
        public = node.memo[_PUBLIC][neighbours.index(machine), CIPHER].tobytes()
        try:
            held = unseal(agreed_key(private, public), text.tobytes(), machine, node.partition_id)
        except ValueError as error:
            raise EngineError(f"what came as machine {machine}'s shares is not: {error}") from None
        found.append(_rows(held))
    return found


def _masks(node: Node, senders: Sequence[int], length: int) -> Ring:
    """Return the machine's own mask and those that it has in common with its neighbours, added up in the ring."""
    total = mask_of(node.memo[_SEED].tobytes(), length).copy()
    private, neighbours = node.memo[_PRIVATE][MASK].tobytes(), node.memo[_NEIGHBOURS].tolist()
    for machine in senders:
        mask = pair_mask(private, node.memo[_PUBLIC][neighbours.index(machine), MASK].tobytes(), length)
        total = total + mask if node.partition_id < machine else total - mask
    return total


def _recalled(node: Node, name: str) -> Array:
    if name not in node.memo:
        raise ForgottenError("the machine has no secrets of this exchange: it has restarted, or used them")
    return node.memo[name]


def _forget(node: Node, keep: Sequence[str] = ()) -> None:
    for name in [name for name in node.memo if name.startswith(_MEMO) and name not in keep]:
        del node.memo[name]


def _row(content: bytes) -> Array:
    return np.frombuffer(content, dtype=np.uint8).copy()


def _rows(contents: Sequence[bytes]) -> Array:
    return np.stack([_row(content) for content in contents])

"""The first exchange of a run over hosts' own rows: both halves. Afterwards all hosts encode their rows alike.

1. ``describe``: every machine reports what its train rows sum up to, and its schema's fingerprint.
2. ``prepare``: the server sends back the encoding of the summed moments. A machine keeps it in its memo; one that has
   restarted and lost it raises ForgottenError and is told again.

No method knows of it, and no other dataset makes these exchanges.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

import numpy as np

from fedjtt.data.encoding import Encoding
from fedjtt.data.host import Form, Host, NoRows, empty_splits
from fedjtt.data.moments import Moments
from fedjtt.errors import ConfigError, ForgottenError
from fedjtt.methods.base import Action, Array, Node, NodeData, Payload, Scalar, Server, trained_on, whole

MEAN, STD, HAS_MISSING, FORM, FINGERPRINT = (
    "encoding-mean", "encoding-std", "encoding-missing", "encoding-form", "encoding-schema",
)  # fmt: skip
NAMES = (MEAN, STD, HAS_MISSING, FORM, FINGERPRINT)
CATEGORY = "category-"


def describe(node: Node, request: Payload) -> Payload:  # noqa: ARG001 (an action's signature)
    """Report the moments of the machine's train rows; sums over fewer than ``min-count`` rows are left out."""
    host = _host_of(node)
    told, form = host.moments(node.config.min_count), host.form
    arrays = {"present": told.present, "total": told.total, "squares": told.squares}
    arrays |= {f"{CATEGORY}{place}": counts for place, counts in enumerate(told.categories)}
    numbers: dict[str, Scalar] = {"examples": told.count, "labels": form.labels, "attributes": form.attributes}
    if form.shape:
        numbers["shape"] = list(form.shape)
    return Payload({**arrays, "schema": _bytes_of(form.fingerprint)}, numbers)


def prepare(node: Node, request: Payload) -> Payload:
    """Keep the encoding that all machines have in common, and try it on the machine's rows."""
    if isinstance(node.host, NoRows):
        node.memo.update(request.arrays)
        return Payload()
    if _bytes_of(_host_of(node).form.fingerprint).tobytes() != request.arrays[FINGERPRINT].tobytes():
        raise ConfigError("the machine's schema is not the other machines'; give all of them the same schema file")
    node.memo.update(request.arrays)
    prepared(node)
    return Payload()


def prepared(node: Node) -> NodeData:
    """Return the machine's data in the encoding that it was told.

    Raises
    ------
    ForgottenError
        Where it was told none, because it restarted or joined late.
    """
    if not all(name in node.memo for name in NAMES):
        raise ForgottenError("the machine has forgotten how its rows are encoded")
    if isinstance(node.host, NoRows):
        labels, attributes, images, width, *rest = node.memo[FORM].tolist()
        return whole(empty_splits((width, *rest), labels, attributes, bool(images)))
    host = _host_of(node)
    encoding = Encoding(
        mean=node.memo[MEAN],
        std=node.memo[STD],
        has_missing=node.memo[HAS_MISSING].astype(bool),
        categories=host.categories,
    )
    return whole(host.encoded(encoding))


def on_prepared(action: Action) -> Action:
    """Return an action that finds the machine's own rows encoded, and in train's place what is trained on."""

    def act(node: Node, request: Payload) -> Payload:
        node.data = trained_on(node.data if node.host is None else prepared(node), node.config.train_on)
        return action(node, request)

    return act


def prepare_machines(server: Server) -> int:
    """Let the machines agree on an encoding; return the number of attributes, 0 where nobody knows them.

    A run that goes on from a checkpoint keeps the encoding that it began with, whoever is there now.
    """
    saved = server.saved("prepare")
    arrays = dict(saved) if saved is not None else _agreed(server.ask("machines", "describe", Payload()))
    request = Payload(arrays)
    server.ask("server", "prepare", request)
    server.keep("prepare", request)
    server.ask("machines", "prepare", request)
    if saved is None:
        server.save("prepare", arrays)
    return int(arrays[FORM][1])


def _agreed(replies: Sequence[Payload]) -> dict[str, Array]:
    """Return what the machines' moments come to."""
    forms = [_form_of(reply) for reply in replies]
    others = [reply.integer("partition-id") for reply, form in zip(replies, forms, strict=True) if form != forms[0]]
    if others:
        raise ConfigError(
            f"machine {others[0]} has another schema than machine {replies[0].integer('partition-id')}; give all "
            "machines the same schema file"
        )
    encoding = Encoding.from_moments(reduce(add, map(_moments_of, replies)))
    form = forms[0]
    about = [form.labels, form.attributes, int(bool(form.shape)), *(form.shape or (encoding.width,))]
    return {
        MEAN: encoding.mean,
        STD: encoding.std,
        HAS_MISSING: encoding.has_missing.astype(np.uint8),
        FORM: np.array(about, dtype=np.int64),
        FINGERPRINT: _bytes_of(form.fingerprint),
    }


def _form_of(reply: Payload) -> Form:
    shape = tuple(reply.integers("shape")) if "shape" in reply.numbers else ()
    fingerprint = reply.arrays["schema"].tobytes().hex()
    return Form(shape, reply.integer("labels"), reply.integer("attributes"), fingerprint)


def _moments_of(reply: Payload) -> Moments:
    arrays: Mapping[str, Array] = reply.arrays
    places = sorted(int(name.removeprefix(CATEGORY)) for name in arrays if name.startswith(CATEGORY))
    categories = tuple(arrays[f"{CATEGORY}{place}"] for place in places)
    return Moments(reply.integer("examples"), arrays["present"], arrays["total"], arrays["squares"], categories)


def _host_of(node: Node) -> Host:
    if node.host is None or isinstance(node.host, NoRows):
        raise RuntimeError("only a machine with rows of its own is asked about them")
    return node.host


def _bytes_of(fingerprint: str) -> Array:
    """Return a hex digest as an array: a message's numbers hold no text."""
    return np.frombuffer(bytes.fromhex(fingerprint), dtype=np.uint8)

"""Dynamic sparse training over machines: one mask, which the server changes between rounds.

A weight dies by the magnitude of the joined weights, which the server has. What grows is decided by the dead weights'
gradient (RigL, Evci et al. 2020), their momentum over a round (SNFS, Dettmers and Zettlemoyer 2019) or chance (SET,
Mocanu et al. 2018). Of a gradient the server needs the sum over machines: every dead weight's, or, of all but every
n-th change, only the largest of each machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedjtt.cache import unpack_json
from fedjtt.methods.base import Array, Payload, Place, Scalar, Server, seconds_of, senders_of
from fedjtt.methods.lesson import Course
from fedjtt.methods.masked import DEAD, NUMBER, QUOTAS, TRACED, WHOLE, drawn_mask
from fedjtt.seeding import numpy_generator
from fedjtt.sparse.flops import Flops
from fedjtt.sparse.layout import Layout
from fedjtt.sparse.mask import Mask, changed, changing
from fedjtt.sparse.schedule import is_due, rate_at, sparing_period, usual_period
from fedjtt.sparse.wire import (
    BITS,
    WORD,
    bits_of,
    change_of,
    mask_of_bits,
    scores_of,
    stored_bytes,
    values_of,
    vector_of,
)
from fedjtt.training import Span

EVER, DUE, SCORES, COUNTS = "mask-ever", "mask-due", "growth-scores", "mask-counts"
BYTES = "share-of-dense-bytes"
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Sketch:
    """How a run's network is made, as the server's own node says."""

    layout: Layout
    flops: Flops

    @classmethod
    def ask(cls, server: Server) -> "Sketch":
        """Ask the server's own node."""
        about = unpack_json(server.ask("server", "sketch", Payload())[0].arrays["about"])
        return cls(Layout.from_shapes(about["shapes"]), Flops(about["inference"], about["training"]))


class SparseCourse(Course):
    """The server's mask, and what becomes of it.

    Parameters
    ----------
    place : str
        Where the rounds train.
    asked : Payload
        What a lesson of the method needs in a request, also where only its gradient is asked for.

    Attributes
    ----------
    mask, ever : ndarray
        bool ``[parameters]``: live now, and ever live so far.
    number : int
        Changes so far.
    """

    def __init__(self, server: Server, place: Place, asked: Payload) -> None:
        self.server, self.config, self.place, self.asked = server, server.config, place, asked
        self.sketch = Sketch.ask(server)
        self.layout = self.sketch.layout
        self.mask: Mask = drawn_mask(self.config, self.layout)
        self.ever = self.mask.copy()
        self.number = self.whole_gradients = 0
        self.due = False
        self.scores: Scores | None = None
        self.quotas: list[int] = []
        self._change: dict[str, NDArray[Any]] = {}
        self._resumed = False
        self._spent, self._vectors = (0, 0), 1
        self._seconds: list[float] = []

    # --- a round ---

    def begin(self, server_round: int, span: Span, weights: Array, average: Array | None) -> tuple[Array, Array | None]:
        """Change the mask, where it is due; weights that have died, and that grow, are 0."""
        self._spent, self._vectors = self.server.spent("robust"), 1 if average is None else 2
        period = self._period(span)
        weights, self._change, self._seconds = self.spread(self.taken(weights)), {}, []
        if self.due:
            self._change_mask(server_round, span, weights)
        self.due = is_due(span.first, span.last, span.total, period)
        self.quotas = self._quotas(span.last, span.total) if self.due else []
        kept = None if average is None else self.spread(self.taken(average))
        return self.spread(self.taken(weights)), kept

    def request(self, server_round: int) -> Payload:  # noqa: ARG002 (a course's signature)
        """Tell the mask, as far as the machines cannot know it, and whether their momentum is wanted."""
        told = self._about_mask(self._change)
        traced = self.due and self.config.rest_grow == "momentum"
        return Payload(told.arrays, {**told.numbers, **(self._wanted(TRACED) if traced else {})})

    def learn(self, server_round: int, replies: Sequence[Payload]) -> Mapping[str, Any]:  # noqa: ARG002
        """Keep the machines' momentum, where it was asked for; count the round's bytes."""
        if self.due and self.config.rest_grow == "momentum":
            self.scores = self._joined(replies, self.sizes(replies))
        self._resumed = False
        sent, received = (now - before for now, before in zip(self.server.spent("robust"), self._spent, strict=True))
        figures: dict[str, Any] = {"density": self.density, "mask-changes": self.number}
        if self.place == "machines":
            dense = self._dense_bytes(senders_of(replies))
            figures |= {"sent": sent, "received": received, BYTES: (sent + received) / dense}
        return figures

    def spent(self) -> list[float]:
        """Return the seconds that the gradients took."""
        return self._seconds

    def taken(self, vector: Array) -> Array:
        """Return the live weights."""
        return values_of(vector, self.mask)

    def spread(self, values: Array) -> Array:
        """Return the vector of which these are the live weights."""
        return vector_of(values, self.mask)

    # --- the change ---

    def _period(self, span: Span) -> int:
        if self.config.rest_period != "auto":
            period = int(self.config.rest_period)
        elif self._is_dear:
            period = sparing_period(span.total, min(int(self.config.robust_rounds), span.total))
        else:
            period = usual_period(span.total)
        if span.steps > period and self.density < 1:
            self.server.note(
                f"rest-period is {period}, but a round has {span.steps} steps: the mask changes once a round; "
                "set robust-rounds higher"
            )
        return period

    @property
    def _is_dear(self) -> bool:
        """Whether every change takes whole gradients over the wire."""
        config = self.config
        spread = self.place == "machines" and config.machines > 1
        return spread and config.rest_grow != "random" and config.rest_exact_every == 1

    def _quotas(self, step: int, total: int) -> list[int]:
        return changing(self.layout, self.mask, rate_at(step, total, self.config.rest_rate))

    def _change_mask(self, server_round: int, span: Span, weights: Array) -> None:
        quotas = self._quotas(span.first, span.total)
        if not any(quotas):
            return
        self.quotas = quotas
        before, self.mask = (
            self.mask,
            changed(self.layout, self.mask, weights, self._grown_by(server_round, weights), quotas),
        )
        self.whole_gradients += self.config.rest_grow != "random" and self._is_whole
        self.number += 1
        self.ever |= self.mask
        self.scores = None
        self._change = change_of(before, self.mask)
        whole = Payload({BITS: bits_of(self.mask)}, {NUMBER: self.number})
        self.server.keep("mask", whole)  # for a machine that restarts, or joins late

    @property
    def _is_whole(self) -> bool:
        """Whether the next change sums whole gradients; alone, a machine's largest are the largest of all."""
        every = self.config.rest_exact_every
        return self.place == "server" or bool(every and self.number % every == 0)

    def _wanted(self, *flags: str) -> dict[str, Scalar]:
        wanted: dict[str, Scalar] = {QUOTAS: self.quotas, DEAD: int((~self.mask).sum()), **dict.fromkeys(flags, 1)}
        return {**wanted, WHOLE: 1} if self._is_whole else wanted

    def _grown_by(self, server_round: int, weights: Array) -> Scores:
        """Return what dead weights grow by, ``[parameters]``."""
        if self.config.rest_grow == "random":
            return numpy_generator(self.config.seed, "rest/grow", server_round).random(self.layout.size)
        if self.config.rest_grow == "momentum":
            if self.scores is None:
                raise RuntimeError("the momentum of a round before a change is asked for in it")
            return self.scores
        told = self._about_mask({})
        numbers = {**self.asked.numbers, **told.numbers, **self._wanted(), "round": server_round}
        arrays = {**self.asked.arrays, **told.arrays, "weights": self.taken(weights)}
        replies = self.server.ask(self.place, "slopes", Payload(arrays, numbers), server_round)
        self._seconds = seconds_of(replies)
        return self._joined(replies, [reply.real("size") for reply in replies])

    def _joined(self, replies: Sequence[Payload], sizes: Sequence[float]) -> Scores:
        return scores_of([(reply.arrays, size) for reply, size in zip(replies, sizes, strict=True)], self.mask)

    def _about_mask(self, change: Mapping[str, NDArray[Any]]) -> Payload:
        """Return what tells a machine the mask: nothing new, its change, or all where somebody may have missed one."""
        some_miss = self.place == "machines" and float(self.config.fraction_train) < 1
        if self.number and (some_miss or self._resumed):
            change = {BITS: bits_of(self.mask)}
        return Payload(change, {NUMBER: self.number})

    # --- what is kept and said ---

    @property
    def density(self) -> float:
        """Share of the weights that can be dead which are live."""
        return self._share(self.mask)

    def _share(self, mask: Mask) -> float:
        blocks = self.layout.sparse
        return int(sum(mask[block.stretch].sum() for block in blocks)) / sum(block.size for block in blocks)

    def _dense_bytes(self, machines: int) -> int:
        """Return what the round's weights, and their averages, would take in both directions if all were live."""
        back = 2 if self.config.averaging == "ema" else 1
        return machines * (self._vectors + back) * WORD * self.layout.size

    def state(self) -> dict[str, Array]:
        """Return the mask, all that were live, and what is known of the next change."""
        about = np.array([self.number, self.whole_gradients, int(self.due)])
        kept = {BITS: bits_of(self.mask), EVER: bits_of(self.ever), COUNTS: about}
        return kept if self.scores is None else {**kept, SCORES: self.scores}

    def resume(self, state: Mapping[str, Array]) -> None:
        """Take over what :meth:`state` returned; the machines are told the whole mask again."""
        if BITS not in state:
            return
        self.mask, self.ever = (mask_of_bits(state[name], self.layout.size) for name in (BITS, EVER))
        self.number, self.whole_gradients, due = (int(value) for value in state[COUNTS])
        self.due, self.scores, self._resumed = bool(due), state.get(SCORES), True

    def report(self) -> dict[str, Any]:
        """Say how sparse the network is, layer by layer, and how many operations that leaves."""
        layers: list[dict[str, Any]] = [
            {"name": block.name, "weights": block.size, "live": int(self.mask[block.stretch].sum())}
            for block in self.layout.sparse
        ]
        shares = [layer["live"] / layer["weights"] for layer in layers]
        inference, training = self.sketch.flops.at(shares)
        dense_inference, dense_training = self.sketch.flops.at([1.0] * len(layers))
        return {
            "density": self.density,
            "parameters": self.layout.size,
            "live-parameters": int(self.mask.sum()),
            "memory": {"weights": stored_bytes(self.mask), "dense-weights": WORD * self.layout.size},
            "in-time-over-parametrisation": self._share(self.ever),
            "mask-changes": self.number,
            "whole-gradients": self.whole_gradients,
            "flops": {
                "inference": inference, "training": training,
                "dense-inference": dense_inference, "dense-training": dense_training,
            },
            "layers": [{**layer, "density": share} for layer, share in zip(layers, shares, strict=True)],
        }  # fmt: skip

"""Deep feature reweighting (Kirichenko et al. 2023): ERM's features, and a last layer fitted on balanced validation.

The last layer is the mean of l1 logistic regressions on subsets of validation in which all groups are equally large.
Validation stays where it is: the server solves the fits by exchanges of sums, so that the result is the same wherever
validation lies, and all fits share every exchange.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fedjtt.cache import pack_json, unpack_json
from fedjtt.errors import ConfigError
from fedjtt.l1_logistic import LIMIT, Fitted, minimise
from fedjtt.methods.averaging import ordered_sum
from fedjtt.methods.base import Array, Payload, Place, Server, Trained
from fedjtt.methods.erm import ERM
from fedjtt.methods.identification import added_up
from fedjtt.methods.network import initial_weights
from fedjtt.methods.subsets import limits_of

PENALTIES = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)
CONSTANT = 1e-12
"""A feature of which the variance is a smaller share of its mean square never varies: rounding is all there is."""


class DFR(ERM):
    """Deep feature reweighting, stage 1 being :class:`ERM`."""

    name = "dfr"

    def coordinate(self, server: Server) -> Trained:
        """Train, then fit the last layer; that validation allows it is seen before anything is trained."""
        count_validation(server, initial_weights(server))
        trained = super().coordinate(server)
        weights, about = refit(server, trained.weights)
        server.note("method dfr trains on validation's groups: its validation accuracies say nothing of other data")
        return replace(trained, weights=weights, head=about)


def refit(server: Server, weights: Array) -> tuple[Array, dict[str, Any]]:
    """Return the weights with another last layer, and what was chosen for it."""
    validation = _standardised(server, *count_validation(server, weights, keep=True))
    config, sizes = server.config, validation.sizes
    half, least = (sizes + 1) // 2, sizes[sizes > 0].min()
    fits = range(1, config.dfr_fits + 1)
    quotas = torch.stack([half, half[half > 0].min().clamp(max=half), *[least.clamp(max=sizes) for _ in fits]])
    limits, kept = validation.limits([0, 0, *fits], quotas)
    chosen = _tuned(server, validation, limits[:2], int(kept[1].sum()))
    rows = int(kept[2].sum())
    strength = torch.full((len(fits),), 1 / (chosen["penalty"] * rows), dtype=torch.float64)
    fitted = validation.fit(list(fits), limits[2:], strength)
    head = validation.raw(fitted.heads.mean(dim=0)).float()
    layer = torch.cat([head[:, :-1].flatten(), head[:, -1]]).numpy()
    about = {
        **chosen,
        "groups": config.groups_kind,
        "fits": len(fits),
        "rows": rows,
        "coefficients": head[:, :-1].numel(),
        "nonzero": int((head[:, :-1] != 0).sum()),
        "fits-exchanges": fitted.exchanges,
        "residual": float(fitted.residual.max()),
    }
    refitted, end = weights.copy(), len(weights) - server.running
    refitted[end - len(layer) : end] = layer
    return refitted, about


def count_validation(server: Server, weights: Array, keep: bool = False) -> tuple[Tensor, int]:
    """Let whoever holds validation compute its features; return the rows of each group, and the number of labels.

    Raises
    ------
    ConfigError
        Where a label has no row: nothing could be learned of it.
    """
    request = Payload({"weights": weights})
    if keep:
        server.keep("features", request)
    replies = server.ask(_place(server), "features", request)
    sizes, labels = torch.tensor(added_up(replies, "count")), replies[0].integer("labels")
    missing = [label for label, rows in enumerate(sizes.view(labels, -1).sum(dim=1).tolist()) if not rows]
    if missing:
        what = "no example" if len(missing) == labels else f"no example of label {missing[0]}"
        raise ConfigError(f"method dfr fits the last layer on validation, which has {what}; use another method")
    return sizes, labels


def _place(server: Server) -> Place:
    return "machines" if server.config.evaluation_at == "machines" else "server"


def _tuned(server: Server, validation: "_Validation", limits: Tensor, rows: int) -> dict[str, Any]:
    """Choose C: fitted on half of validation, cut to its smallest group, and judged by the other half's worst group."""
    if server.config.dfr_penalty != "auto":
        return {"penalty": float(server.config.dfr_penalty)}
    if (saved := server.saved("head-tuned")) is not None:
        about: dict[str, Any] = unpack_json(saved["about"])
        return about
    strength = torch.tensor([1 / (penalty * rows) for penalty in PENALTIES], dtype=torch.float64)
    fitted = validation.fit([0] * len(PENALTIES), limits[1:].expand(len(PENALTIES), -1), strength)
    worst, average = validation.scores(fitted.heads, limits[:1])
    best = max(range(len(PENALTIES)), key=lambda place: (worst[place], average[place]))
    about = {
        "penalty": PENALTIES[best],
        "tuning-worst-group-accuracy": worst[best],
        "tuning": [dict(zip(("penalty", "worst", "average"), line, strict=True))
                   for line in zip(PENALTIES, worst, average, strict=True)],
        "tuning-exchanges": fitted.exchanges,
    }  # fmt: skip
    server.save("head-tuned", {"about": pack_json(about)})
    return about


@dataclass(frozen=True)
class _Validation:
    """Validation as the server sees it: sums over its rows, asked for where they lie.

    Attributes
    ----------
    sizes : Tensor
        int64 ``[groups]``.
    shape : (int, int)
        Of a head.
    standard : Tensor
        float64 ``[width, width]``: inputs times this are standardised, but for the last column, which is 1.
    gram : Tensor
        float64 ``[width, width]``: mean outer product of standardised inputs where groups count alike.
    """

    server: Server
    sizes: Tensor
    shape: tuple[int, int]
    standard: Tensor
    gram: Tensor

    def raw(self, heads: Tensor) -> Tensor:
        """Return heads for inputs as they are."""
        return heads @ self.standard.T

    def limits(self, draws: Sequence[int], quotas: Tensor) -> tuple[Tensor, Tensor]:
        """Return where the draws' subsets end, and their sizes."""

        def counted(level: int, prefix: Tensor) -> Tensor:
            request = Payload({"prefix": prefix.numpy()}, {"draws": list(draws), "level": level})
            return torch.from_numpy(ordered_sum([reply.arrays["counts"] for reply in self._ask("draw", request)]))

        return limits_of(counted, self.sizes, quotas)

    def fit(self, draws: Sequence[int], limits: Tensor, strength: Tensor) -> Fitted:
        """Solve the fits on their subsets."""
        tolerance = self.server.config.dfr_tolerance

        def slopes(heads: Tensor, which: Tensor) -> Tensor:
            request = Payload(
                {"heads": self.raw(heads).numpy(), "limits": limits[which].numpy()},
                {"draws": [draws[fit] for fit in which.tolist()]},
            )
            replies = self._ask("slope", request)
            rows = torch.tensor(added_up(replies, "rows"))
            if not rows.all():
                raise ConfigError(
                    "no machine has min-count rows in one of dfr's balanced subsets of validation, where each group is "
                    "cut to the smallest; use another method"
                )
            gradient = torch.from_numpy(ordered_sum([reply.arrays["gradient"] for reply in replies]))
            self.server.progress("head", len(strength) - len(which), len(strength), {})
            return (gradient @ self.standard) / rows.view(-1, 1, 1)

        fitted = minimise(slopes, self.gram, strength, self.shape[0], tolerance)
        if fitted.exchanges >= LIMIT:
            self.server.note(
                f"head stage: {int((fitted.residual > tolerance).sum())} of {len(strength)} fits were not done after "
                f"{LIMIT} exchanges; they miss their optimum by {float(fitted.residual.max()):.1e}"
            )
        return fitted

    def scores(self, heads: Tensor, limits: Tensor) -> tuple[list[float], list[float]]:
        """Return worst-group and average accuracy of heads on the rows beyond the limits."""
        replies = self._ask(
            "score", Payload({"heads": self.raw(heads).numpy(), "limits": limits.numpy()}, {"draws": [0]})
        )
        correct, count = (ordered_sum([reply.arrays[name] for reply in replies]) for name in ("correct", "count"))
        present = count > 0
        if not present.any():
            raise ConfigError("validation has no group of two examples to tune dfr-penalty on; set it to a number")
        accuracy = correct[:, present] / count[present]
        return accuracy.min(axis=1).tolist(), (correct.sum(axis=1) / count.sum()).tolist()

    def _ask(self, action: str, request: Payload) -> list[Payload]:
        return self.server.ask(_place(self.server), action, request)


def _standardised(server: Server, sizes: Tensor, labels: int) -> _Validation:
    """Return validation with its features standardised by summed moments."""
    share = torch.where(sizes > 0, 1 / (int((sizes > 0).sum()) * sizes.clamp(min=1).double()), 0.0)
    replies = server.ask(_place(server), "moments", Payload({"group-weights": share.numpy()}))
    rows = sum(reply.integer("rows") for reply in replies)
    if not rows:
        raise ConfigError("no machine has min-count rows of validation, on which method dfr fits; use another method")
    total, squares, gram = (
        torch.from_numpy(ordered_sum([reply.arrays[name] for reply in replies]))
        for name in ("total", "squares", "gram")
    )
    mean, square = total[:-1] / rows, squares[:-1] / rows
    variance = square - mean**2
    scale = torch.where(variance > CONSTANT * square, variance.clamp(min=1e-300).rsqrt(), 0.0)
    standard = torch.diag(torch.cat([scale, torch.ones(1, dtype=torch.float64)]))
    standard[-1, :-1] = -mean * scale
    return _Validation(server, sizes, (labels, len(total)), standard, standard.T @ gram @ standard)

"""What an explanation says of a sparse network."""

from collections.abc import Mapping
from typing import Any

from experiments.findings import percent


def sparse_lines(about: Mapping[str, Any]) -> list[str]:
    """Return what lives of the network, what that saves, and what the minority weighed, in sentences."""
    layers = sorted(about["layers"], key=lambda layer: layer["density"])
    changes, whole = about["mask-changes"], about["whole-gradients"]
    times = "once" if changes == 1 else f"{changes} times" if changes else "never"
    lines = [
        f"{about['live-parameters']:,} of {about['parameters']:,} weights live, {percent(about['density'])} of those "
        f"that can be dead: from {percent(layers[0]['density'])} in {layers[0]['name']} to "
        f"{percent(layers[-1]['density'])} in {layers[-1]['name']}.",
        f"The mask changed {times}, {whole} by whole gradients; {percent(about['in-time-over-parametrisation'])} were "
        "live at some time.",
        f"Of the dense network: {_share(about['flops'], 'inference')} of the operations of inference, "
        f"{_share(about['flops'], 'training')} of training's, {_share(about['memory'], 'weights')} of the memory of "
        f"weights{_sent(about['share-of-dense-bytes'])}.",
        f"An example that conflicts with the shortcut weighed {about['lambda']:g} times another; "
        f"{percent(about['conflicting-share'])} of train were taken for such.",
    ]
    return lines if about["density"] < 1 else ["All weights live: a dense network.", lines[-1]]


def _share(sizes: Mapping[str, float], name: str) -> str:
    return percent(sizes[name] / sizes[f"dense-{name}"])


def _sent(share: float | None) -> str:
    return "" if share is None else f", {percent(share)} of the bytes of its rounds"

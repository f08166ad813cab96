"""How good an error set is, estimated from a validation set with groups, without train's attributes."""

from collections.abc import Mapping, Sequence
from typing import Any


def estimated_f1(groups: Sequence[Mapping[str, Any]], error_share: float) -> float:
    """Return the estimated F1 of the error set of an identification model.

    Per label, the attribute that validation accuracy is highest for is the one that the model goes by: errors there
    are false alarms, errors on the label's other attributes are found minority. With the false-alarm rate f and the
    recall r (means over the labels), the share e of train that is called wrong is ``m r + (1 - m) f`` for a minority
    share m, so ``m = (e - f) / (r - f)``, precision is ``m r / e``, and no attribute of train is read.

    Parameters
    ----------
    groups : sequence of dict
        ``label``, ``attribute``, ``count`` and ``correct`` of every group of validation.
    error_share : float
        Share of the train examples that are called wrong.

    Returns
    -------
    float
        In [0, 1]; 0 where nothing can be estimated (one attribute only, an empty error set, a model that does not go
        by the attribute).
    """
    accuracies: dict[int, list[float]] = {}
    for group in groups:
        if group["count"]:
            accuracies.setdefault(group["label"], []).append(group["correct"] / group["count"])
    known = [sorted(values, reverse=True) for values in accuracies.values() if len(values) > 1]
    if not known or error_share <= 0:
        return 0.0
    alarms = sum(1 - values[0] for values in known) / len(known)
    recall = sum(1 - sum(values[1:]) / len(values[1:]) for values in known) / len(known)
    if recall <= alarms:
        return 0.0
    minority = min(1.0, max(0.0, (error_share - alarms) / (recall - alarms)))
    precision = min(1.0, minority * recall / error_share)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

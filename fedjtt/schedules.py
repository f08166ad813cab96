"""Learning rates over the steps of a stage."""

import math


def learning_rate_at(step: int, total: int, peak: float, schedule: str, warm_up: float = 0.0) -> float:
    """Return the learning rate of a step of the whole stage, counted from 0.

    ``one-cycle`` (Smith and Topin 2019) climbs for 30 % of the steps from peak/25 and falls to peak/250,000, both
    along a cosine, with torch's defaults; ``cosine`` falls from the peak to 0, ``linear`` does in a line; ``warm-up``
    climbs in a line over a share of the steps and stays.
    """
    if schedule == "warm-up":
        return peak * min(1.0, (step + 1) / max(1.0, warm_up * total))
    if schedule == "constant":
        return peak
    if schedule == "linear":
        return peak * (1 - step / total)
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * step / total))
    top = 0.3 * total - 1
    if step <= top:
        start, end, share = peak / 25, peak, step / top
    else:
        start, end, share = peak, peak / 250_000, (step - top) / max(1.0, total - 1 - top)
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))

"""All methods and all actions by name: a new method is a file and one line here."""

from functools import partial

from fedjtt.config import RunConfig
from fedjtt.methods.assess import assess, refer
from fedjtt.methods.attribute import align, gram, measure, squares
from fedjtt.methods.balance import Balance
from fedjtt.methods.base import Action, Method
from fedjtt.methods.census import census
from fedjtt.methods.count_noise import noised
from fedjtt.methods.cut import tally
from fedjtt.methods.cvar_dro import CvarDRO
from fedjtt.methods.d3m import D3M
from fedjtt.methods.dfr import DFR
from fedjtt.methods.erm import ERM
from fedjtt.methods.fit import fit
from fedjtt.methods.group_dro import GroupDRO
from fedjtt.methods.group_moments import sum_features
from fedjtt.methods.grouping import name_own
from fedjtt.methods.growth import sketch, slopes
from fedjtt.methods.head import draw, features, moments, score, slope
from fedjtt.methods.identify_federated import learn
from fedjtt.methods.identify_local import identify
from fedjtt.methods.identify_peers import lend
from fedjtt.methods.jtt import JTT
from fedjtt.methods.judge import judge
from fedjtt.methods.lff import LfF
from fedjtt.methods.look import look
from fedjtt.methods.masked import remember
from fedjtt.methods.network import initial, network
from fedjtt.methods.prepare import describe, on_prepared, prepare
from fedjtt.methods.removal import drop, rank
from fedjtt.methods.rest import REST
from fedjtt.methods.secure import keys, reveal, secured, shares
from fedjtt.methods.summed import FORMS
from fedjtt.methods.targets import divide, scatter, target

_ALL: tuple[Method, ...] = (
    ERM(),
    JTT(),
    Balance("group-balanced", "upsample"),
    Balance(),
    GroupDRO(),
    CvarDRO(),
    GroupDRO("agnostic"),
    LfF(),
    DFR(),
    D3M(),
    D3M("auto-d3m"),
    REST(),
)
METHODS: dict[str, Method] = {method.name: method for method in _ALL}

# Flower's message types: (category, action), as a run asks for them one after another.
CATEGORIES = {
    "describe": "query", "prepare": "query",
    "network": "query", "census": "query", "initial": "query", "identify": "train", "learn": "train", "look": "train",
    "lend": "train", "judge": "train", "refer": "evaluate",
    "name": "query", "tally": "query", "sketch": "query", "mask": "query", "slopes": "query", "fit": "train",
    "assess": "evaluate",
    "keys": "query", "shares": "query", "reveal": "query",
    "features": "query", "moments": "query", "draw": "query", "slope": "query", "score": "query",
    "measure": "query", "gram": "query", "squares": "query", "scatter": "query", "divide": "query", "target": "query",
    "align": "query", "rank": "query", "drop": "query",
    "spectrum": "query",
}  # fmt: skip


_PLAIN: dict[str, Action] = {
    "census": census,
    "network": network,
    "initial": initial,
    "identify": identify,
    "learn": learn,
    "look": look,
    "lend": lend,
    "judge": judge,
    "refer": refer,
    "name": name_own,
    "tally": tally,
    "sketch": sketch,
    "mask": remember,
    "assess": assess,
    "features": features,
    "moments": moments,
    "draw": draw,
    "slope": slope,
    "score": score,
    "measure": measure,
    "gram": gram,
    "squares": squares,
    "scatter": scatter,
    "divide": divide,
    "target": target,
    "align": align,
    "rank": rank,
    "drop": drop,
    "spectrum": sum_features,
}
# What precedes a machine's preparation, or the masks of secure aggregation.
_BEFORE: dict[str, Action] = {
    "describe": noised("describe", describe),
    "prepare": prepare,
    "keys": keys,
    "shares": shares,
    "reveal": reveal,
}


def action_for(name: str, config: RunConfig) -> Action:
    """Return the node's half of an action under a run's method."""
    if name in _BEFORE:
        return _BEFORE[name]
    method = METHODS[config.method]
    own = {"fit": partial(fit, method=method), "slopes": partial(slopes, lesson_of=method.lesson)}
    action = on_prepared(noised(name, own.get(name) or _PLAIN[name]))
    return secured(name, action) if config.secure_aggregation and name in FORMS else action

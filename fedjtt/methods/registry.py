"""All methods and all actions by name: a new method is a file and one line here."""

from functools import partial

from fedjtt.config import RunConfig
from fedjtt.methods.assess import assess, refer
from fedjtt.methods.balance import Balance
from fedjtt.methods.base import Action, Method
from fedjtt.methods.census import census
from fedjtt.methods.count_noise import noised
from fedjtt.methods.cut import tally
from fedjtt.methods.cvar_dro import CvarDRO
from fedjtt.methods.dfr import DFR
from fedjtt.methods.erm import ERM
from fedjtt.methods.fit import fit, initial
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
from fedjtt.methods.prepare import describe, on_prepared, prepare
from fedjtt.methods.rest import REST
from fedjtt.methods.secure import keys, reveal, secured, shares
from fedjtt.methods.summed import FORMS

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
    REST(),
)
METHODS: dict[str, Method] = {method.name: method for method in _ALL}

# Flower's message types: (category, action), as a run asks for them one after another.
CATEGORIES = {
    "describe": "query", "prepare": "query",
    "census": "query", "initial": "query", "identify": "train", "learn": "train", "look": "train", "lend": "train",
    "judge": "train", "refer": "evaluate",
    "name": "query", "tally": "query", "sketch": "query", "mask": "query", "slopes": "query", "fit": "train",
    "assess": "evaluate",
    "keys": "query", "shares": "query", "reveal": "query",
    "features": "query", "moments": "query", "draw": "query", "slope": "query", "score": "query",
    "spectrum": "query",
}  # fmt: skip


def action_for(name: str, config: RunConfig) -> Action:
    """Return the node's half of an action under a run's method."""
    before: dict[str, Action] = {
        "describe": noised("describe", describe),
        "prepare": prepare,
        "keys": keys,
        "shares": shares,
        "reveal": reveal,
    }
    actions: dict[str, Action] = {
        "census": census,
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
        "slopes": partial(slopes, lesson_of=METHODS[config.method].lesson),
        "fit": partial(fit, method=METHODS[config.method]),
        "assess": assess,
        "features": features,
        "moments": moments,
        "draw": draw,
        "slope": slope,
        "score": score,
        "spectrum": sum_features,
    }
    if name in before:
        return before[name]
    action = on_prepared(noised(name, actions[name]))
    return secured(name, action) if config.secure_aggregation and name in FORMS else action

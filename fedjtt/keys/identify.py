"""How the minority is found."""

from pydantic import Field

from fedjtt.choices import IDENTIFY_AGGREGATORS
from fedjtt.keys.field import Auto, Keys, choice


class IdentifyKeys(Keys):
    """How the minority is found."""

    identify: str = choice(
        "federated",
        ("local", "federated", "peers"),
        "how the minority is found; local: every machine by a model of its own, as in the original; federated: by one "
        "model that the machines train in rounds; peers: by its own model and those of a few other machines",
    )
    identify_optimizer: str = choice("adamw", ("sgd", "adamw"), "optimizer of the identification stage")
    identify_epochs: int = Field(2, ge=1, description="epochs of the identification model, in all rounds together")
    identify_rounds: int = Field(20, ge=1, description="rounds of the federated model, and looks that stable takes")
    identify_min_steps: int = Field(
        1200,
        ge=0,
        description="steps that a machine's identification takes at least, however small its part; 0: no bound",
    )
    identify_batch_size: int = Field(16, ge=1, description="batch size of the identification stage")
    identify_learning_rate: float = Field(0.005, gt=0, description="learning rate of the identification stage")
    identify_warm_up: float = Field(
        0.0, ge=0, le=1, description="share of the identification's steps over which its learning rate climbs"
    )
    identify_weight_decay: float = Field(0.01, ge=0, description="weight decay of the identification stage")
    identify_clip_norm: float = Field(0.0, ge=0, description="longest gradient in identification; 0: as long as it is")
    identify_schedule: str = choice(
        "same-epochs",
        ("same-epochs", "scaled", "same-updates"),
        "scaled: batch, learning rate and steps fit the machine's share of the data; same-updates: every machine "
        "makes as many steps as one machine with all the data would (N times the work)",
    )
    identify_averaging: str = choice(
        "rounds", ("none", "rounds"), "rounds: split by the mean of all rounds' models, later ones counting for more"
    )
    identify_label_correction: float = Field(
        0.9,
        ge=0,
        le=1,
        description="how far a machine's own label frequencies are kept from teaching the federated model; 0: not",
    )
    identify_objective: str = choice(
        "cross-entropy", ("cross-entropy", "gce"), "loss of the identification model; gce leans on what is easy"
    )
    identify_split: str = choice(
        "misclassified",
        ("misclassified", "eiil", "clusters"),
        "which examples are the minority, by the model's outputs: the wrong ones, EIIL's split, or small clusters",
    )
    identify_stop: str = choice(
        "stable",
        ("last", "stable", "val-groups"),
        "when identification ends; stable: as soon as the error set hardly changes; val-groups: the round whose error "
        "set is the best by validation's groups (federated only)",
    )
    identify_guard: bool = Field(
        True, description="leave out the error set of a collapsed model, after a second try with smaller steps"
    )
    identify_aggregator: str = choice("fedavg", IDENTIFY_AGGREGATORS, "rule that joins identification's updates")
    identify_server_learning_rate: float | Auto = Field(
        "auto", description="of fedavgm, fedadagrad, fedadam, fedyogi in identification; auto: Flower's default"
    )
    peers: int = Field(3, ge=1, description="machines whose models judge a machine's data, under identify = peers")
    peer_vote: str = choice(
        "majority",
        ("majority", "mean-loss"),
        "what the models under identify = peers agree by: more than half of them, or a mean loss above ln 2",
    )

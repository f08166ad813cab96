"""How the robust stage trains, and which model is kept."""

from typing import Literal

from pydantic import Field

from fedjtt.choices import AGGREGATORS, METHODS, SIZED_BY
from fedjtt.keys.field import Auto, Keys, choice


class RobustKeys(Keys):
    """How the robust stage trains, and which model is kept."""

    method: str = choice("jtt", METHODS, "training method")
    train_on: str = choice(
        "train",
        ("train", "validation"),
        "split that the method trains on; validation: what that split alone is worth, beside dfr, which uses it too",
    )
    robust: str = choice(
        "central", ("central", "federated"), "where the robust stage trains: on the server's data, or on the machines"
    )
    upsample: int | Auto = Field(
        "auto", description="times that an error example stands in the data; auto: from the error set's size"
    )
    upsample_fraction: float | Literal["balance", "validated"] = Field(
        "balance",
        description="auto factor = max(1, floor(fraction x (N - |E|) / |E|)); .8 is the original; balance: the number "
        "of labels less one, where the shortcut stops telling the label; validated: the best on validation of .8, 2 "
        "and balance, at three times the cost",
    )
    upsample_convention: str = choice(
        "copies", ("copies", "extra"), "copies: factor times in all; extra: factor further times"
    )
    robust_epochs: float | Auto = Field(
        "auto",
        description="epochs of the robust stage over the weighted data, in all rounds together; auto: .4 for jtt "
        "(upsampled to about as many times its size as there are labels), 2 for the others",
    )
    robust_rounds: int | Auto = Field(
        "auto", description="rounds that the robust stage is cut into, in central too; auto: 10 central, 50 federated"
    )
    robust_min_steps: int = Field(
        750, ge=0, description="steps that a machine, or central training, takes at least over all rounds"
    )
    robust_schedule: str = choice(
        "same-epochs",
        ("same-epochs", "scaled", "same-updates"),
        "same-epochs: the machines together make the passes of central training; scaled: so, in batches that are "
        "together as large as its batch; same-updates: every machine makes as many steps as central training would",
    )
    batch_size: int = Field(
        32, ge=0, description="batch size of the robust stage; 0: all examples of a machine, by their weights"
    )
    learning_rate: float = Field(0.1, gt=0, description="(peak) learning rate of the robust stage")
    learning_rate_schedule: str = choice(
        "one-cycle", ("constant", "one-cycle", "cosine"), "learning rate over the stage's steps"
    )
    averaging: str = choice("ema", ("none", "ema"), "ema: evaluate an exponential average of the weights")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD momentum of both stages")
    weight_decay: float = Field(0.01, ge=0, description="weight decay of the robust stage")
    clip_norm: float = Field(2.0, ge=0, description="longest gradient of a robust step; 0: as long as it is")
    aggregator: str = choice(
        "fedavg",
        AGGREGATORS,
        "rule that joins the machines' updates, Flower's; fednova: steps by the machine's size, updates by the step",
    )
    server_learning_rate: float | Auto = Field(
        "auto", description="of fedavgm, fedadagrad, fedadam and fedyogi; auto: Flower's default for the rule"
    )
    proximal_mu: float = Field(
        0.0, ge=0, description="pull towards the round's incoming weights (FedProx); needs aggregator fedprox"
    )
    fraction_train: float | Auto = Field(
        "auto",
        description="share of the machines that train in a federated round, (0, 1], drawn by seed; auto: 10 machines",
    )
    model: str = choice(
        "auto",
        ("auto", *SIZED_BY),
        "network; auto: lenet for images, mlp for columns, bag-of-embeddings for texts; cmnist-cnn and resnet18 are "
        "for small images and have group norms; torchvision-... are for photographs, the resnets with batch norms; "
        "bert and distilbert need the extra text",
    )
    pretrained: str = Field(
        "auto",
        description="weights that a torchvision network begins with; imagenet: torchvision's own (IMAGENET1K_V1); "
        "none: drawn by seed; or a .pth file of a state dict, from data-dir on; the last layer is always drawn; auto: "
        "imagenet",
    )
    features: str = choice(
        "none",
        ("none", "cached"),
        "cached: the pretrained network is frozen, what its last layer sees of an example is computed once on each "
        "host and kept, and a linear layer over that is all that is trained; none: the whole network is trained",
    )
    feature_cache: str = Field(
        "", description="folder in which features are kept; empty: fedjtt/features in the user's cache"
    )
    model_width: float = Field(
        1.0,
        gt=0,
        le=64,
        description="factor on the channels, hidden units and embeddings of a network, rounded, at least 1",
    )
    model_depth: int = Field(2, ge=1, le=64, description="hidden layers of the mlp")
    selection: str = choice(
        "auto",
        ("auto", "last", "val-worst-group", "val-worst-class", "val-average", "val-bias-unsupervised"),
        "round whose model is kept; auto: val-worst-group, where nobody knows the attribute val-worst-class; "
        "val-bias-unsupervised: the best worst group where a short ERM run's prediction stands in for the attribute",
    )
    evaluation_at: str = choice(
        "auto",
        ("auto", "server", "machines"),
        "who holds validation and test data; auto: the server, but machines with rows of their own",
    )

"""Which data, and how it is spread over the machines."""

from typing import Annotated

from pydantic import Field

from fedjtt.choices import DATASETS, DIFFICULTIES, PARTITIONS
from fedjtt.keys.field import Auto, Keys, choice


class DataKeys(Keys):
    """Which data, and how it is spread over the machines."""

    dataset: str = choice(
        "digits",
        DATASETS,
        "dataset to train on; adult, compas: tables; waterbirds, celeba: photographs; sick, civilcomments, multinli: "
        "texts; csv, heart4, image-folder: every machine has rows of its own",
    )
    data_dir: str = Field("", description="folder that holds the dataset's files; empty: the environment's FEDJTT_DATA")
    schema_file: str = Field(
        "", description="TOML file that says what the columns of csv or image-folder mean, from data-dir on"
    )
    host_files: str = Field(
        "",
        description="a folder with a CSV file for every machine, or the files with commas between them, from data-dir "
        "on; a node can name its own as data-file in its node config",
    )
    min_count: int = Field(
        5, ge=1, description="rows that a sum must be over to leave a machine, where machines have rows of their own"
    )
    download: bool = Field(
        False,
        description="let missing files be downloaded: MNIST's into data-dir, pretrained weights where transformers and "
        "torchvision keep their own",
    )
    difficulty: str = choice(
        "auto",
        DIFFICULTIES,
        "where the spurious colour is painted; digit: on the digit itself, the others behind it; auto: large for "
        "digits, medium for spuco-mnist",
    )
    corner: str = choice("top-right", ("top-left", "top-right"), "corner of the coloured box")
    spurious_strength: float | Auto = Field(
        "auto",
        description="share of a class in its own colour or corruption, (0, 1]: one less the share that conflicts; "
        "auto: .9 for digits, .995 for the others",
    )
    class_imbalance: float = Field(
        1.0,
        ge=1,
        description="train examples of the first class over those of the last, sizes falling geometrically from class "
        "to class; 1: classes as they are; validation and test stay balanced",
    )
    label_noise: float = Field(0.0, ge=0, lt=1, description="share of train labels replaced by another")
    core_noise: float = Field(0.0, ge=0, le=1, description="share of train images whose digit is damaged")
    image_size: int | Auto = Field(
        "auto", description="side in pixels to which photographs are brought; auto: 224, as published"
    )
    image_cache: str = Field(
        "",
        description="folder in which decoded photographs are kept, in one file for all processes and runs; empty: "
        "fedjtt/images in the user's cache; none: they are decoded anew in every epoch",
    )
    max_length: Annotated[int, Field(ge=1, le=512)] | Auto = Field(
        "auto",
        description="tokens of a text that are read, up to 512, of a pair's texts each (bert, distilbert: both "
        "together); auto: 32 for sick, 128 for multinli, 300 for civilcomments",
    )
    text_model: str = Field(
        "auto",
        description="folder of a pretrained model as transformers writes it (vocabulary, config, weights), or "
        "its name; auto: bert-base-uncased or distilbert-base-uncased",
    )
    partition: str = choice("iid", PARTITIONS, "how the train data is spread over the machines")
    dirichlet_alpha: float = Field(0.5, gt=0, description="concentration of the dirichlet partitions; small is uneven")

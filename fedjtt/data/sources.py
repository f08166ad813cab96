"""The datasets by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from fedjtt.data.adult import load_adult
from fedjtt.data.bffhq import load_bffhq
from fedjtt.data.celeba import CELEBA
from fedjtt.data.civilcomments import load_civilcomments
from fedjtt.data.coloured_mnist import load_coloured_mnist
from fedjtt.data.compas import load_compas
from fedjtt.data.corrupted_cifar10 import load_corrupted_cifar10
from fedjtt.data.digits import load_digits
from fedjtt.data.findings import Findings, count_splits
from fedjtt.data.grouped import Splits
from fedjtt.data.multinli import load_multinli
from fedjtt.data.options import DataOptions
from fedjtt.data.sick import load_sick
from fedjtt.data.spuco_mnist import load_spuco_mnist
from fedjtt.data.waterbirds import WATERBIRDS
from fedjtt.errors import ConfigError, nearest


@dataclass(frozen=True)
class Source:
    """A dataset that can be asked for by name.

    Attributes
    ----------
    name, summary : str
        What it is called, and one line about it.
    loader : Callable
        Makes the three parts from the options.
    default_strength, default_difficulty : float or None, str or None
        What a run takes when it says nothing else; None where nothing is painted.
    needs_files : bool
        Whether it reads files that are not part of the installation.
    look : Callable or None
        Looks for damage in all of its files and counts the groups; None: what the loader refuses is all the damage.
    """

    name: str
    summary: str
    loader: Callable[[DataOptions], Splits]
    default_strength: float | None
    default_difficulty: str | None
    needs_files: bool
    look: Callable[[DataOptions], Findings] | None = None


SOURCES = {
    source.name: source
    for source in (
        Source(
            name="digits",
            summary="scikit-learn's 1,797 handwritten digits on coloured backgrounds; nothing to download",
            loader=load_digits,
            default_strength=0.9,
            default_difficulty="large",
            needs_files=False,
        ),
        Source(
            name="spuco-mnist",
            summary="SpuCoMNIST: 70,000 MNIST digits with a coloured patch or background; needs MNIST's four files",
            loader=load_spuco_mnist,
            default_strength=0.995,
            default_difficulty="medium",
            needs_files=True,
        ),
        Source(
            name="coloured-mnist",
            summary="Coloured MNIST: 70,000 MNIST digits, ten labels in ten colours; needs MNIST's four files",
            loader=load_coloured_mnist,
            default_strength=0.995,
            default_difficulty=None,
            needs_files=True,
        ),
        Source(
            name="corrupted-cifar10",
            summary="Corrupted CIFAR-10: 21,000 images, ten labels under ten corruptions; needs cifar10/*.webp",
            loader=load_corrupted_cifar10,
            default_strength=0.995,
            default_difficulty=None,
            needs_files=True,
        ),
        Source(
            name="bffhq",
            summary="BFFHQ: 21,200 faces, young or old, mostly by sex; needs bffhq/0.5pct, valid and test",
            loader=load_bffhq,
            default_strength=0.995,
            default_difficulty=None,
            needs_files=True,
        ),
        Source(
            name="adult",
            summary="Adult (UCI): income above 50,000 dollars, by sex; needs adult/adult.data and adult.test",
            loader=load_adult,
            default_strength=None,
            default_difficulty=None,
            needs_files=True,
        ),
        Source(
            name="compas",
            summary="COMPAS (ProPublica): recidivism in two years, by race; needs compas/compas-scores-two-years.csv",
            loader=load_compas,
            default_strength=None,
            default_difficulty=None,
            needs_files=True,
        ),
        Source(
            name="waterbirds",
            summary="Waterbirds: land- or waterbird, by background; needs waterbirds_v1.0/metadata.csv and its images",
            loader=WATERBIRDS.load,
            default_strength=None,
            default_difficulty=None,
            needs_files=True,
            look=WATERBIRDS.look,
        ),
        Source(
            name="celeba",
            summary="CelebA: blond hair, by sex; needs celeba_v1.0 with two lists and 202,599 images",
            loader=CELEBA.load,
            default_strength=None,
            default_difficulty=None,
            needs_files=True,
            look=CELEBA.look,
        ),
        Source(
            name="sick",
            summary="SICK: 9,927 pairs of sentences, contradiction or not, by negation; needs sick/SICK.txt",
            loader=load_sick,
            default_strength=None,
            default_difficulty=None,
            needs_files=True,
        ),
        Source(
            name="civilcomments",
            summary="CivilComments (WILDS): toxic comments, by identity; needs civilcomments_v1.0",
            loader=load_civilcomments,
            default_strength=None,
            default_difficulty=None,
            needs_files=True,
        ),
        Source(
            name="multinli",
            summary="MultiNLI (GLUE): contradiction, entailment, neutral, by negation; needs multinli/glue_data/MNLI",
            loader=load_multinli,
            default_strength=None,
            default_difficulty=None,
            needs_files=True,
        ),
    )
}
"""Every dataset by name."""


def source(name: str) -> Source:
    """Return the dataset of that name; ConfigError, with the nearest name, where there is none."""
    if name not in SOURCES:
        raise ConfigError(f"dataset is {name!r}; allowed are {', '.join(SOURCES)}{nearest(name, SOURCES)}")
    return SOURCES[name]


def default_options(dataset: str, seed: int = 0) -> DataOptions:
    """Return a dataset's defaults, to be changed with :func:`dataclasses.replace`."""
    chosen = source(dataset)
    options = DataOptions(dataset, None, seed)
    if chosen.default_strength is not None:
        options = replace(options, spurious_strength=chosen.default_strength)
    if chosen.default_difficulty is not None:
        options = replace(options, difficulty=chosen.default_difficulty)
    return options


def load(options: DataOptions) -> Splits:
    """Return the dataset that the options describe."""
    return source(options.dataset).loader(options)


def look(options: DataOptions) -> Findings:
    """Return what the dataset's files hold, damage included where the source can go on after it.

    Raises
    ------
    DataError
        Where the files cannot be read at all.
    """
    chosen = source(options.dataset)
    return count_splits(chosen.loader(options)) if chosen.look is None else chosen.look(options)

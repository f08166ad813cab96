"""The datasets as published: where to get them, how they lie in the data-dir, how large their groups are.

A dataset adds itself with one entry of :data:`PUBLISHED`; ``fedjtt data where`` and ``fedjtt data check`` do the rest.
What the check reads is the dataset's loader, or :attr:`fedjtt.data.sources.Source.look` where damage is to be named in
full and not at its first place only.
"""

from dataclasses import dataclass, field

from fedjtt.data.findings import Counts, Findings


@dataclass(frozen=True)
class Published:
    """What is known of a dataset before anyone has its files.

    Attributes
    ----------
    where : str
        Where to get it, in words.
    layout : tuple of str
        A line for each file or folder below the data-dir.
    counts : mapping
        Examples of every group, label by label, in each split that was counted; empty: nobody published any.
    counted_by : str
        Whose counts these are.
    """

    where: str
    layout: tuple[str, ...] = ()
    counts: Counts = field(default_factory=dict)
    counted_by: str = ""


PUBLISHED: dict[str, Published] = {
    "digits": Published("It comes with scikit-learn: there is nothing to get."),
    "spuco-mnist": Published(
        "MNIST's four files, from Yann LeCun's page or any of its mirrors, unpacked; --download lets torchvision fetch "
        "them.",
        (
            "MNIST/raw/train-images-idx3-ubyte    60,000 images",
            "MNIST/raw/train-labels-idx1-ubyte",
            "MNIST/raw/t10k-images-idx3-ubyte     10,000 images",
            "MNIST/raw/t10k-labels-idx1-ubyte",
        ),
    ),
    "adult": Published(
        "UCI Machine Learning Repository, data set 'Adult' (Census Income).",
        ("adult/adult.data    32,561 rows", "adult/adult.test    16,281 rows"),
    ),
    "compas": Published(
        "ProPublica's repository compas-analysis on GitHub.",
        ("compas/compas-scores-two-years.csv    7,214 rows",),
    ),
    "sick": Published(
        "The page of SICK, Sentences Involving Compositional Knowledge (Marelli et al. 2014), or its copy on Zenodo.",
        ("sick/SICK.txt    9,927 rows, separated by tabs",),
    ),
    "civilcomments": Published(
        "WILDS: get_dataset('civilcomments', download=True) of its package wilds, or the address in its source.",
        ("civilcomments_v1.0/all_data_with_identities.csv    448,000 rows",),
    ),
    "multinli": Published(
        "The sentences: GLUE's MNLI task. The split: metadata_random.csv of the repository group_DRO (Sagawa et al. "
        "2020); without it the split is drawn by seed.",
        (
            "multinli/glue_data/MNLI/train.tsv               392,702 rows",
            "multinli/glue_data/MNLI/dev_matched.tsv           9,815 rows",
            "multinli/glue_data/MNLI/dev_mismatched.tsv        9,832 rows",
            "multinli/data/metadata_random.csv               412,349 rows",
        ),
        {"train": (57_498, 11_158, 67_376, 1_521, 66_630, 1_992)},
        "GroupDRO's appendix (Sagawa et al. 2020)",
    ),
}
"""Every dataset by name."""


def differences(found: Findings, published: Published) -> list[str]:
    """Return a line for every group of every split that has another size than the published one."""
    lines = []
    for split, expected in published.counts.items():
        counted = found.counts.get(split, (0,) * len(expected))
        for name, ours, theirs in zip(found.group_names, counted, expected, strict=True):
            if ours != theirs:
                lines.append(f"{split}, {name}: {ours:,} here, {theirs:,} published ({ours - theirs:+,})")
    return lines

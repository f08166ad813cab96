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


_MNIST = (
    "MNIST/raw/train-images-idx3-ubyte    60,000 images",
    "MNIST/raw/train-labels-idx1-ubyte",
    "MNIST/raw/t10k-images-idx3-ubyte     10,000 images",
    "MNIST/raw/t10k-labels-idx1-ubyte",
)

PUBLISHED: dict[str, Published] = {
    "digits": Published("It comes with scikit-learn: there is nothing to get."),
    "spuco-mnist": Published(
        "MNIST's four files, from Yann LeCun's page or any of its mirrors, unpacked; --download lets torchvision fetch "
        "them.",
        _MNIST,
    ),
    "coloured-mnist": Published(
        "MNIST's four files, as for spuco-mnist; digits are coloured when they are loaded, as in Nam et al., 'Learning "
        "from Failure' (NeurIPS 2020).",
        _MNIST,
    ),
    "corrupted-cifar10": Published(
        "CIFAR-10's page at the University of Toronto has the images; these files are to be made of them: lossless "
        "mosaics of 1,000 images in CIFAR-10's own order, 25 rows of 40. Images are corrupted when they are loaded, as "
        "in Nam et al., 'Learning from Failure' (NeurIPS 2020).",
        (
            "cifar10/cifar10_00.webp to cifar10_19.webp    the first 20,000 train images",
            "cifar10/cifar10_50.webp                       the first 1,000 test images",
            "cifar10/labels.npy                            21,000 labels, 0 to 9, in this order",
        ),
    ),
    "bffhq": Published(
        "The README of kakaoenterprise/Learning-Debiased-Disentangled on GitHub (Lee et al., 'Learning Debiased "
        "Representation via Disentangled Feature Augmentation', NeurIPS 2021) links to it.",
        (
            "bffhq/0.5pct/align/LABEL/NUMBER_LABEL_ATTRIBUTE.png       train; LABEL 0 young, 1 old",
            "bffhq/0.5pct/conflict/LABEL/NUMBER_LABEL_ATTRIBUTE.png    train; ATTRIBUTE 0 women, 1 men",
            "bffhq/valid/NUMBER_LABEL_ATTRIBUTE.png                    validation",
            "bffhq/test/NUMBER_LABEL_ATTRIBUTE.png                     test",
            "1pct, 2pct, 5pct in place of 0.5pct for spurious-strength .99, .98, .95",
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
    "waterbirds": Published(
        "The WILDS benchmark's repository (p-lambda/wilds on GitHub; its get_dataset downloads 'waterbirds'), or the "
        "archive that the README of kohpangwei/group_DRO on GitHub links to.",
        (
            "waterbirds_v1.0/metadata.csv    11,788 rows: img_id,img_filename,y,split,place,place_filename",
            "waterbirds_v1.0/SPECIES/*.jpg   200 folders, such as 001.Black_footed_Albatross",
        ),
        {
            "train": (3_498, 184, 56, 1_057),
            "validation": (467, 466, 133, 133),
            "test": (2_255, 2_255, 642, 642),
        },
        "Sagawa et al., 'Distributionally Robust Neural Networks for Group Shifts' (ICLR 2020)",
    ),
    "celeba": Published(
        "The project page 'Large-scale CelebFaces Attributes (CelebA) Dataset' of the Multimedia Laboratory of the "
        "Chinese University of Hong Kong, aligned and cropped images; the lists as CSV files as the WILDS benchmark's "
        "repository (p-lambda/wilds on GitHub) has them, whose get_dataset downloads 'celebA'.",
        (
            "celeba_v1.0/list_attr_celeba.csv       202,599 rows: image_id and 40 attributes, -1 or 1",
            "celeba_v1.0/list_eval_partition.csv    202,599 rows: image_id,partition",
            "celeba_v1.0/img_align_celeba/*.jpg     202,599 images of 178 x 218 pixels",
        ),
        {
            "train": (71_629, 66_874, 22_880, 1_387),
            "validation": (8_535, 8_276, 2_874, 182),
            "test": (9_767, 7_535, 2_480, 180),
        },
        "Sagawa et al., 'Distributionally Robust Neural Networks for Group Shifts' (ICLR 2020)",
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

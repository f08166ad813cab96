"""CelebA: faces, of which the task is to say whether the hair is blond (Liu et al. 2015; groups of Sagawa et al. 2020).

In WILDS' layout: ``celeba_v1.0/list_attr_celeba.csv`` with image_id and forty attributes of -1 and 1,
``list_eval_partition.csv`` with image_id and partition, and the aligned images in ``img_align_celeba``. The label is
Blond_Hair, the attribute Male, the split the official one. An example's id is its row of the attributes' list, from 0.
"""

from pathlib import Path

from fedjtt.data.csv_file import read_csv
from fedjtt.data.listing import SPLIT_CODES, Listing, in_order_of, read_codes, read_names
from fedjtt.data.picture_set import PictureSet
from fedjtt.data.recipes import crop_and_resize

ATTRIBUTES, PARTITION, IMAGES = "list_attr_celeba.csv", "list_eval_partition.csv", "img_align_celeba"
SIGNS = {"-1": 0, "1": 1}


def read_celeba(folder: Path) -> Listing:
    """Read both lists."""
    file = read_csv(folder / ATTRIBUTES, only=("image_id", "Blond_Hair", "Male"))
    partition = read_csv(folder / PARTITION, only=("image_id", "partition"))
    problems: list[str] = []
    names = read_names(file, "image_id", problems)
    read_names(partition, "image_id", problems)  # for what stands there twice
    split = read_codes(partition, "partition", SPLIT_CODES, problems)
    return Listing(
        source=file.path,
        images=folder / IMAGES,
        names=names,
        lines=file.lines,
        label=read_codes(file, "Blond_Hair", SIGNS, problems),
        attribute=read_codes(file, "Male", SIGNS, problems),
        split=in_order_of(names, partition, "image_id", split, problems),
        problems=problems,
    )


CELEBA = PictureSet(
    name="celeba",
    folders=("celeba_v1.0", "celebA_v1.0", "celeba"),
    list_file=ATTRIBUTES,
    read=read_celeba,
    recipe=crop_and_resize,
    label_names=("not blond", "blond"),
    attribute_names=("female", "male"),
)

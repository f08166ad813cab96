"""Waterbirds: land- and waterbirds of CUB before land and water of Places (Sagawa et al., GroupDRO, ICLR 2020).

In WILDS' layout: ``waterbirds_v1.0/metadata.csv`` with img_id, img_filename, y, split, place and place_filename, and
the images in a folder for each species. The label is the bird, the attribute the background, the split the official
one. An example's id is its row of the metadata, from 0.
"""

from pathlib import Path

from fedjtt.data.csv_file import read_csv
from fedjtt.data.listing import SPLIT_CODES, Listing, read_codes, read_names
from fedjtt.data.picture_set import PictureSet
from fedjtt.data.recipes import resize_and_crop

METADATA = "metadata.csv"
BINARY = {"0": 0, "1": 1}


def read_waterbirds(folder: Path) -> Listing:
    """Read the metadata."""
    file = read_csv(folder / METADATA, only=("img_filename", "y", "split", "place"))
    problems: list[str] = []
    return Listing(
        source=file.path,
        images=folder,
        names=read_names(file, "img_filename", problems),
        lines=file.lines,
        label=read_codes(file, "y", BINARY, problems),
        attribute=read_codes(file, "place", BINARY, problems),
        split=read_codes(file, "split", SPLIT_CODES, problems),
        problems=problems,
    )


WATERBIRDS = PictureSet(
    name="waterbirds",
    folders=("waterbirds_v1.0", "waterbirds", "waterbird_complete95_forest2water2"),
    list_file=METADATA,
    read=read_waterbirds,
    recipe=resize_and_crop,
    label_names=("landbird", "waterbird"),
    attribute_names=("land", "water"),
)
"""WILDS' folder, a shorter name, and the folder that the GroupDRO repository's archive unpacks to."""

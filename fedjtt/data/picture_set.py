"""A published dataset of photographs: from its folder to three parts, or to what a look at all of its files found."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fedjtt.data.findings import Findings
from fedjtt.data.grouped import GroupedDataset, Splits
from fedjtt.data.image_cache import ImageCache, cache_file
from fedjtt.data.image_files import ImageFiles, PixelSource
from fedjtt.data.image_rows import ImageRows
from fedjtt.data.listing import Listing
from fedjtt.data.options import NO_CACHE, DataOptions, cache_dir
from fedjtt.data.recipes import IMAGENET_MEAN, IMAGENET_STD, Recipe
from fedjtt.data.spurious import noisy_labels
from fedjtt.errors import DataError
from fedjtt.seeding import numpy_generator


@dataclass(frozen=True)
class PictureSet:
    """What tells one such dataset from another.

    Attributes
    ----------
    name : str
        The dataset.
    folders : tuple of str
        What its folder in the data-dir may be called, the usual name first.
    list_file : str
        The file by which the folder is known.
    read : callable
        Reads the lists of such a folder.
    recipe : callable
        Makes a network's input of a photograph.
    label_names, attribute_names : tuple of str
        What the groups are called.
    """

    name: str
    folders: tuple[str, ...]
    list_file: str
    read: Callable[[Path], Listing]
    recipe: Recipe
    label_names: tuple[str, ...]
    attribute_names: tuple[str, ...]

    def load(self, options: DataOptions) -> Splits:
        """Return the three parts; no image is opened, but all must be there.

        Raises
        ------
        DataError
            For the first thing that is wrong with the lists, an image that is missing, a disk that is too small.
        """
        listing = self.read(self.folder(options))
        files = self.files(listing, options)
        stamps = files.stamps()
        if not stamps.any():
            raise DataError(f"{none_of(listing)}; 'fedjtt data where {self.name}' says where to get them")
        problems = [*listing.problems, *missing(listing, stamps)]
        if problems:
            more = f" (and {len(problems) - 1:,} more; 'fedjtt data check {self.name}' names them)"
            raise DataError(f"{problems[0]}{more if len(problems) > 1 else ''}")
        return self.splits(listing, open_pixels(files, stamps, options), options)

    def look(self, options: DataOptions) -> Findings:
        """Return what is wrong with the lists and with every image, and the groups' sizes."""
        listing = self.read(self.folder(options))
        files = self.files(listing, options)
        stamps = files.stamps()
        counts = listing.counts(len(self.label_names), len(self.attribute_names))
        found = Findings(self.label_names, self.attribute_names, counts, list(listing.problems))
        if stamps.any():
            found.problems.extend([*missing(listing, stamps), *damaged(listing, files, stamps)])
        else:
            found.notes.append(f"{none_of(listing)}: only the lists were looked at")
        return found

    def folder(self, options: DataOptions) -> Path:
        """Return where the dataset is in the data-dir."""
        for name in self.folders:
            if (options.root / name / self.list_file).is_file():
                return options.root / name
        raise DataError(
            f"{self.name}'s file {options.root / self.folders[0] / self.list_file} is missing; set --data-dir or "
            f"FEDJTT_DATA to the folder that holds {self.folders[0]}; 'fedjtt data where {self.name}' says more"
        )

    def files(self, listing: Listing, options: DataOptions) -> ImageFiles:
        """Return the listed images as files."""
        return ImageFiles(listing.images, listing.names, self.recipe, options.image_size)

    def splits(self, listing: Listing, pixels: PixelSource, options: DataOptions) -> Splits:
        """Return the listed images as three parts; ``label-noise`` is the train labels'."""
        train, validation, test = (self._part(listing, pixels, code) for code in range(3))
        chance = numpy_generator(options.seed, f"data/{self.name}/train/label-noise")
        noisy = noisy_labels(train.label, train.num_labels, options.label_noise, chance)
        return Splits(replace(train, label=noisy), validation, test, self.label_names, self.attribute_names)

    def _part(self, listing: Listing, pixels: PixelSource, code: int) -> GroupedDataset:
        rows = np.flatnonzero(listing.split == code)
        return GroupedDataset(
            x=ImageRows(pixels, rows, IMAGENET_MEAN, IMAGENET_STD),
            label=torch.from_numpy(listing.label[rows]),
            attribute=torch.from_numpy(listing.attribute[rows]),
            id=torch.from_numpy(rows),
            num_labels=len(self.label_names),
            num_attributes=len(self.attribute_names),
        )


def open_pixels(files: ImageFiles, stamps: NDArray[np.uint32], options: DataOptions) -> PixelSource:
    """Return the images' pixels: kept on the disk, or decoded each time."""
    if options.image_cache == NO_CACHE:
        return files
    folder = Path(options.image_cache) if options.image_cache else cache_dir() / "images"
    return ImageCache(files, stamps, cache_file(folder, options.dataset, files))


def none_of(listing: Listing) -> str:
    """Return what is said where a folder has the lists and nothing else."""
    return f"none of the {len(listing.names):,} images that {listing.source} names is in {listing.images}"


def missing(listing: Listing, stamps: NDArray[np.uint32]) -> list[str]:
    """Return a line for every image that is not there."""
    return [f"{listing.about(row)} is missing; put it there" for row in np.flatnonzero(stamps == 0).tolist()]


def damaged(listing: Listing, files: ImageFiles, stamps: NDArray[np.uint32]) -> list[str]:
    """Return a line for every image that is there and cannot be decoded."""

    def problem(row: int) -> str:
        try:
            files.decoded(row)
        except DataError as error:
            return f"{error} ({listing.source.name}, row {listing.lines[row]})"
        return ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding lets other threads run
        return [text for text in pool.map(problem, np.flatnonzero(stamps).tolist()) if text]

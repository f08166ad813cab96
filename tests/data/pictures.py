"""Waterbirds and CelebA in small, in the layout in which they are published: ``python -m tests.data.pictures FOLDER``.

Groups of the published proportions would leave the smallest empty: every split has `each` images of every group, and
train a few more of its majority. A label is a bright or dark middle, an attribute a red or green frame.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

MAJORITY_MORE = 4
SPECIES = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "118.House_Sparrow")
WATERBIRDS_HEADER = "img_id,img_filename,y,split,place,place_filename"
# The forty of CelebA, in its order.
ATTRIBUTES = [
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
]


def examples(each: int) -> list[tuple[int, int, int]]:
    """Split, label and attribute of every example; splits and groups lie mixed, as in the real lists."""
    even = [(split, label, place) for _ in range(each) for label in (0, 1) for place in (0, 1) for split in (0, 1, 2)]
    return even + [(0, label, label) for _ in range(MAJORITY_MORE * each) for label in (0, 1)]


def picture(label: int, attribute: int, width: int, height: int, chance: np.random.Generator) -> Image.Image:
    pixels = chance.integers(0, 60, (height, width, 3))
    pixels[..., attribute] += 120
    pixels[height // 4 : -height // 4, width // 4 : -width // 4] = 40 + 160 * label
    return Image.fromarray(pixels.astype(np.uint8))


def write_waterbirds(data_dir: Path, each: int = 3, folder: str = "waterbirds_v1.0") -> Path:
    """Write metadata.csv and images of different shapes in species' folders; return the dataset's folder."""
    place, chance, lines = data_dir / folder, np.random.default_rng(0), [WATERBIRDS_HEADER]
    for number, (split, label, water) in enumerate(examples(each)):
        species = SPECIES[number % len(SPECIES)]
        name = f"{species}/{species.split('.')[1]}_{number:04}_{700 + number}.jpg"
        (place / species).mkdir(parents=True, exist_ok=True)
        picture(label, water, 40 + number % 7, 30 + number % 5, chance).save(place / name)
        lines.append(f"{number + 1},{name},{label},{split},{water},/{'ol'[water]}/somewhere/{number:08}.jpg")
    (place / "metadata.csv").write_text("\n".join(lines) + "\n")
    return place


def write_celeba(data_dir: Path, each: int = 3, folder: str = "celeba_v1.0") -> Path:
    """Write both lists and images of CelebA's proportions; return the dataset's folder."""
    place, chance = data_dir / folder, np.random.default_rng(1)
    (place / "img_align_celeba").mkdir(parents=True)
    attributes, partition = [",".join(["image_id", *ATTRIBUTES])], ["image_id,partition"]
    for number, (split, blond, male) in enumerate(examples(each), start=1):
        name = f"{number:06}.jpg"
        picture(blond, male, 44, 54, chance).save(place / "img_align_celeba" / name)
        signs = dict.fromkeys(ATTRIBUTES, -1) | {"Blond_Hair": 2 * blond - 1, "Male": 2 * male - 1, "Young": 1}
        attributes.append(",".join([name, *map(str, signs.values())]))
        partition.append(f"{name},{split}")
    (place / "list_attr_celeba.csv").write_text("\n".join(attributes) + "\n")
    (place / "list_eval_partition.csv").write_text("\n".join(partition) + "\n")
    return place


def cut_short(image: Path) -> None:
    """Take the second half of a file away, as a download that broke off."""
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])


def change_line(path: Path, line: int, old: str, new: str) -> None:
    """Replace a text in a line of a file, counted from 1."""
    lines = path.read_text().splitlines()
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new)
    path.write_text("\n".join(lines) + "\n")


def add_line(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line + "\n")


if __name__ == "__main__":
    for write in (write_waterbirds, write_celeba):
        print(write(Path(sys.argv[1])))

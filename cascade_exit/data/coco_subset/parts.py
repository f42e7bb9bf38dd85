"""A part of COCO as it is published: what its images hold, and the annotation file of some of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade_exit.data.annotation_file import read_annotation_file
from cascade_exit.data.class_map import ClassMap
from cascade_exit.data.coco_set import box_within, images_by_id, labels_by_category
from cascade_exit.data.coco_subset.selection import Candidate
from cascade_exit.data.problems import refuse

_Entry = dict[str, Any]
# Of the file systems in use; what is fetched lies under a longer name until it is whole.
_LONGEST_NAME_BYTES = 200


@dataclass(frozen=True)
class Part:
    """The images of train2017 or val2017 and their objects of some classes.

    Args:
        name: ``train2017`` or ``val2017``.
        images: Image entries by id.
        objects: Annotations of each image, as published but for the outlines.
        shown: Ids of the images with any annotation of the classes, usable or not.
        names: Class name of each wanted category id.
        categories: Entries of the wanted categories.
        licenses: The licences that image entries refer to.
        unusable: Ids of annotations that were left out because their box has no area within the image.
    """

    name: str
    images: dict[int, _Entry]
    objects: dict[int, list[_Entry]]
    shown: set[int]
    names: dict[int, str]
    categories: list[_Entry]
    licenses: list[_Entry]
    unusable: list[int]

    @classmethod
    def read(cls, path: Path, name: str, class_map: ClassMap) -> "Part":
        """Reads an ``instances_*.json`` of COCO.

        Raises:
            UserError: It is missing or faulty, or has no class of a name asked for.
        """
        # Outlines are nine tenths of the file and no detector reads them.
        content = read_annotation_file(path, without="segmentation")
        labels = labels_by_category(path, content["categories"], class_map)
        names = {key: class_map.name(label) for key, label in labels.items() if label}
        problems: list[str] = []
        images = images_by_id(content["images"], problems)
        # The name becomes a path to write to.
        problems += [
            f"image id {key}: 'file_name' must be the name of a file, got {entry['file_name']!r}"
            for key, entry in images.items()
            if not _is_a_name(entry["file_name"])
        ]
        refuse(problems, "item(s)", where=f"{path}: ")
        objects: dict[int, list[_Entry]] = {key: [] for key in images}
        shown, unusable = set(), []
        for entry in content["annotations"]:
            image = images.get(entry.get("image_id", -1))
            if image is None or entry.get("category_id") not in names:
                continue
            shown.add(image["id"])
            if isinstance(box_within(entry.get("bbox"), image), str):
                unusable.append(entry["id"])
            else:
                objects[image["id"]].append(entry)
        categories = [category for category in content["categories"] if category["id"] in names]
        return cls(name, images, objects, shown, names, categories, content.get("licenses", []), unusable)

    def candidates(self) -> list[Candidate]:
        """What each image holds; a crowd is no object, and still makes its image no negative."""
        found = []
        for image_id, entries in self.objects.items():
            areas: dict[str, float] = {}
            for entry in entries:
                if not entry.get("iscrowd"):
                    name = self.names[entry["category_id"]]
                    area = entry.get("area", entry["bbox"][2] * entry["bbox"][3])
                    areas[name] = max(areas.get(name, 0.0), float(area))
            found.append(Candidate(image_id, areas, image_id not in self.shown))
        return found

    def annotation_file(self, ids: Iterable[int], description: str) -> dict[str, Any]:
        """A COCO annotation file of some images, with their ids, addresses and licences as published.

        Image names start with the part's folder. The size is also given as that of the original image, by which
        evaluation knows that areas are in its pixels.
        """
        kept = sorted(ids)
        images = [
            {
                **self.images[key],
                "file_name": f"{self.name}/{self.images[key]['file_name']}",
                "original_width": self.images[key]["width"],
                "original_height": self.images[key]["height"],
            }
            for key in kept
        ]
        return {
            "info": {"description": description},
            "licenses": self.licenses,
            "images": images,
            "annotations": [entry for key in kept for entry in self.objects[key]],
            "categories": self.categories,
        }


def _is_a_name(text: str) -> bool:
    """Whether a text can be the name of a file and names nothing outside its folder."""
    return Path(text).name == text and text != ".." and "\0" not in text and len(text.encode()) <= _LONGEST_NAME_BYTES

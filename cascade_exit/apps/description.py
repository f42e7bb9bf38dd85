"""What `describe` finds out of a data set, as the plain values of description.json."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cascade_exit.config import DescribeConfig
from cascade_exit.data import CocoSet, HashedRole, NearDuplicate, Role, find_near_duplicates, hash_roles
from cascade_exit.evaluation import ImageTruth
from cascade_exit.evaluation.survey import (
    AnchorFits,
    BoxSample,
    SetContent,
    anchor_fits,
    co_occurrence,
    sample_boxes,
    search_scales,
    set_content,
    thin_classes,
    unbeaten,
)
from cascade_exit.evaluation.survey.content import FEWEST_BOXES, SIZES
from cascade_exit.model import AnchorGrid, ModelConfig
from cascade_exit.runs import plain

# What is measured on anchors needs no more boxes than this, nor the search for better ones.
MOST_BOXES, MOST_SEARCHED = 20_000, 4_000
MATCHER_IOUS = (0.4, 0.45, 0.5, 0.55, 0.6)
# Below this share of covered boxes the anchors are said to fit poorly, if there are boxes enough to say so.
POOR_RECALL, FEWEST_FOR_RECALL = 0.7, 20
MOST_LISTED = 1000

Values = dict[str, Any]


def describe_content(sets: Mapping[Role, CocoSet]) -> Values:
    """Images and boxes by role and class, over all roles, and which classes stand together."""
    names = next(iter(sets.values())).class_map.names
    truth = {role: [ImageTruth.from_record(record) for record in images.records] for role, images in sets.items()}
    contents: dict[str, SetContent] = {role: set_content(images, names) for role, images in truth.items()}
    everything = [image for images in truth.values() for image in images]
    return {
        "roles": {role: plain(content) for role, content in contents.items()},
        "all": plain(set_content(everything, names)),
        "co_occurrence": {"classes": list(names), "images": co_occurrence(everything, len(names)).tolist()},
        "thin": thin_classes(contents),
    }


def describe_near_duplicates(sets: Mapping[Role, CocoSet], workers: int) -> tuple[Values, list[NearDuplicate]]:
    """Images that look alike and have different roles."""
    hashed = hash_roles(sets, workers, progress=True)
    pairs = find_near_duplicates(hashed)
    return _duplicate_values(hashed, pairs), pairs


def _duplicate_values(hashed: Mapping[Role, HashedRole], pairs: Sequence[NearDuplicate]) -> Values:
    between: dict[str, int] = {}
    for pair in pairs:
        key = "/".join(pair.roles)
        between[key] = between.get(key, 0) + 1
    return {
        "compared": sum(len(role.records) for role in hashed.values()),
        "of_one_colour": sum(role.plain for role in hashed.values()),
        "unreadable": [line for role in hashed.values() for line in role.unreadable],
        "pairs": len(pairs),
        "of_one_group": sum(pair.same_group for pair in pairs),
        "between": between,
        "listed": [
            {
                "roles": list(pair.roles),
                "files": [str(record.path) for record in pair.records],
                "image_ids": [record.image_id for record in pair.records],
                "groups": [record.group for record in pair.records],
                "same_group": pair.same_group,
                "bits": pair.bits,
            }
            for pair in pairs[:MOST_LISTED]
        ],
    }


def describe_anchors(config: DescribeConfig, sets: Mapping[Role, CocoSet]) -> Values:
    """How anchors cover the boxes of the train role (or the first there is), and how others would."""
    role = next(iter(sets))
    images, model, iou = sets[role], config.model, config.loss.matcher_iou
    all_boxes = sample_boxes([ImageTruth.from_record(record) for record in images.records], model.input)
    sample = all_boxes.spread(MOST_BOXES)
    grid = AnchorGrid(model.input.size_px, model.anchor_scales)
    ious = sorted({*MATCHER_IOUS, iou})
    fits = anchor_fits(sample.boxes, grid.boxes, ious)
    return {
        "role": role,
        "input_px": model.input.size_px,
        "matcher_iou": iou,
        "scales": list(grid.scales),
        "boxes": len(all_boxes),
        "measured": len(sample),
        **_by_size(fits, sample, iou),
        "classes": {
            name: _by_size(fits, sample, iou, sample.labels == label)
            for label, name in enumerate(images.class_map.names, start=1)
        },
        "matcher": [{"iou": each, **_by_size(fits, sample, each)} for each in ious],
        "search": _search(sample.spread(MOST_SEARCHED), model, grid.scales, iou),
    }


def _by_size(fits: AnchorFits, sample: BoxSample, iou: float, mask: np.ndarray | None = None) -> Values:
    """Fit over all sizes and of each; sizes without boxes are absent."""
    mask = np.ones(len(sample), dtype=bool) if mask is None else mask
    masks = {"all": mask, **{name: mask & (sample.sizes == place) for place, name in enumerate(SIZES)}}
    found = {name: fits.of(iou, each) for name, each in masks.items()}
    return {name: plain(fit) for name, fit in found.items() if fit is not None}


def _search(sample: BoxSample, model: ModelConfig, scales: Sequence[float], iou: float) -> Values:
    trials = search_scales(sample, model.input, scales, iou)
    front = [trial.scales for trial in unbeaten(trials, iou)]
    return {
        "boxes": len(sample),
        "tried": [
            {"scales": list(trial.scales), "unbeaten": trial.scales in front, **_by_size(trial.fits, sample, iou)}
            for trial in trials
        ],
    }


def warnings_of(description: Values) -> list[str]:
    """One line for everything that somebody should do something about."""
    return [
        *_thin_lines(description["thin"]),
        *_duplicate_lines(description["near_duplicates"]),
        *_anchor_lines(description["anchors"]),
    ]


def _thin_lines(thin: Mapping[str, Mapping[str, int]]) -> list[str]:
    lines = []
    for role, classes in thin.items():
        listed = ", ".join(f"{name} ({boxes})" for name, boxes in classes.items())
        what = f"fewer than {FEWEST_BOXES} boxes" if max(classes.values()) else "no box"
        lines.append(f"{role} has {what} of {listed}")
    return lines


def _duplicate_lines(found: Values) -> list[str]:
    lines = []
    if unreadable := found["unreadable"]:
        more = f"; and {len(unreadable) - 1} more image(s) that cannot be read" if len(unreadable) > 1 else ""
        lines.append(f"{unreadable[0]}{more}")
    if found["pairs"]:
        between = ", ".join(
            f"{count} between {roles.replace('/', ' and ')}" for roles, count in found["between"].items()
        )
        lines.append(
            f"{found['pairs']} pair(s) of images in different roles look alike ({between}; {found['of_one_group']} of"
            " one 'group'), see figures/near_duplicates.png: leave one of each out, or, in a file that is cut into"
            " roles, give both the same 'group'"
        )
    return lines


def _anchor_lines(anchors: Values) -> list[str]:
    """Where recall is poor, and what would cover more."""
    parts = {f"all {name} ones": anchors.get(name) for name in SIZES}
    parts |= {name: fits.get("all") for name, fits in anchors["classes"].items()}
    poor = {
        name: fit["recall"]
        for name, fit in parts.items()
        if fit and fit["boxes"] >= FEWEST_FOR_RECALL and fit["recall"] < POOR_RECALL
    }
    if not poor:
        return []
    worst = sorted(poor.items(), key=lambda part: part[1])
    listed = ", ".join(f"{name} ({recall:.0%})" for name, recall in worst)
    line = f"few boxes have an anchor of IoU {anchors['matcher_iou']:g}: {listed}"
    return [f"{line}; {_suggestion(anchors['search']['tried'])}"]


def _suggestion(tried: Sequence[Values]) -> str:
    current, best = tried[0]["all"], max(tried, key=lambda trial: trial["all"]["recall"])
    if best is tried[0]:
        return "no other scales that were tried cover more"
    scales = ",".join(f"{scale:g}" for scale in best["scales"])
    fewer = best["all"]["anchors_per_box"] < current["anchors_per_box"]
    caution = ", but fewer anchors per box can cost more than is gained (docs/RESULTS.md, Anchors)" if fewer else ""
    return (
        f"'model.anchor_scales=[{scales}]' would cover {best['all']['recall']:.0%} of all boxes instead of"
        f" {current['recall']:.0%}, with {best['all']['anchors_per_box']:.1f} anchors per box instead of"
        f" {current['anchors_per_box']:.1f}{caution}"
    )

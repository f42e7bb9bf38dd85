"""Tables of what `describe` found."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cascade_exit.evaluation.survey.content import SIZES

# More classes than this would push everything else off the screen: they are shown in columns, with one figure each.
MOST_ROWS = 20
MOST_PAIRS = 8
NOTHING = "–"

Figures = Mapping[str, Any]


def role_table(description: Figures) -> Table:
    """A row per role, and one for all of them."""
    contents = {**description["roles"], "all": description["all"]}
    columns = ("role", "images", "without\nboxes", "boxes", "per\nimage", "crowds", *SIZES, "side")
    table = _table("Data by role", *columns)
    for role, content in contents.items():
        if role == "all":
            table.add_section()
        held = content["all"]
        table.add_row(
            role,
            f"{content['images']:,}",
            f"{content['negatives']:,}",
            f"{held['boxes']:,}",
            _ratio(held["boxes"], content["images"]),
            f"{held['crowds']:,}",
            *_size_shares(held),
            _side(held),
        )
    table.caption = _size_note([content["area_unit"] for content in description["roles"].values()])
    return table


def class_table(description: Figures) -> RenderableType:
    """A row per class: boxes in each role; and over all roles, how many images hold it, and sizes."""
    roles, everything = description["roles"], description["all"]
    if len(everything["classes"]) > MOST_ROWS:
        listed = {name: f"{held['boxes']:,}" for name, held in everything["classes"].items()}
        return _in_columns("Boxes by class (by role in description.json)", listed)
    table = _table("Data by class", "class", *roles, "images", "per\nimage", "sizes %", "side")
    for name, held in everything["classes"].items():
        table.add_row(
            name,
            *(f"{content['classes'][name]['boxes']:,}" for content in roles.values()),
            f"{held['images']:,} ({held['images'] / everything['images']:.0%})",
            _ratio(held["boxes"], held["images"]),
            " ".join(f"{share.rstrip('%'):>2}" for share in _size_shares(held)),
            _side(held),
        )
    table.caption = (
        f"{', '.join(roles)}: boxes; the rest over all roles. Per image: of those that hold the class.\n"
        "Sizes: small, medium, large. Crowds by class are in description.json."
    )
    return table


def duplicate_table(found: Figures, most: int) -> RenderableType:
    """The most alike pairs, or that there are none."""
    compared = f"Near-duplicates across roles: {found['pairs']:,} pair(s) among {found['compared']:,} images"
    if not found["pairs"]:
        return Text(compared, style="italic")
    table = _table(compared, "roles", "bits apart", "same group", "first", "second", right=("bits apart",))
    for pair in found["listed"][:most]:
        names = [path.rsplit("/", 1)[-1] for path in pair["files"]]
        table.add_row(" / ".join(pair["roles"]), str(pair["bits"]), "yes" if pair["same_group"] else "no", *names)
    if found["pairs"] > most:
        table.caption = f"The {most} most alike; more in description.json."
    return table


def together_table(together: Figures) -> RenderableType:
    """Pairs of classes that most images hold both of."""
    classes, images = together["classes"], together["images"]
    pairs = [
        (images[one][other], classes[one], classes[other])
        for one, other in combinations(range(len(classes)), 2)
        if images[one][other]
    ]
    if not pairs:
        return Text("No image holds two classes.", style="italic")
    table = _table("Most often together", "classes", "images", "of the first", "of the second")
    of_class = {name: images[place][place] for place, name in enumerate(classes)}
    for count, one, other in sorted(pairs, key=lambda pair: -pair[0])[:MOST_PAIRS]:
        shares = (f"{count / of_class[name]:.0%}" for name in (one, other))
        table.add_row(f"{one} and {other}", f"{count:,}", *shares)
    return table


def anchor_tables(anchors: Figures) -> RenderableType:
    """Recall by class, by the matcher's IoU, and by scales."""
    where = f"{anchors['role']}, {anchors['input_px']} px"
    title = f"Anchors: share of boxes with one of IoU {anchors['matcher_iou']:g} ({where})"
    by_class: RenderableType
    if len(anchors["classes"]) > MOST_ROWS:
        by_class = _in_columns(title, {name: _recall(fits, "all") for name, fits in anchors["classes"].items()})
    else:
        by_class = _table(title, "class", "boxes", "all", *SIZES, "anchors\nper box", "best IoU")
        for name, fits in anchors["classes"].items():
            by_class.add_row(name, *_fit_cells(fits))
        by_class.add_section()
        by_class.add_row("all", *_fit_cells(anchors))
        by_class.caption = "Best IoU: quantiles 0.1 / 0.5 / 0.9."
    matcher = _table("Other matcher IoUs", "loss.matcher_iou", "all", *SIZES, "anchors\nper box")
    for fits in anchors["matcher"]:
        matcher.add_row(f"{fits['iou']:g}", *_short_cells(fits), style=_style(fits["iou"] == anchors["matcher_iou"]))
    scales = _table("Other scales", "model.anchor_scales", "all", *SIZES, "anchors\nper box")
    for place, fits in enumerate(anchors["search"]["tried"]):
        if place == 0 or fits["unbeaten"]:
            written = ", ".join(f"{scale:.2f}" for scale in fits["scales"])
            scales.add_row(written, *_short_cells(fits), style=_style(place == 0))
    scales.caption = (
        f"Bold: in use. Of {len(anchors['search']['tried'])} tried on {anchors['search']['boxes']:,} boxes, those that"
        " none beats\nin recall and anchors per box both."
    )
    return Group(by_class, matcher, scales)


def print_tables(description: Figures, console: Console, pairs: int = 10) -> None:
    """Everything, from roles to anchors.

    Args:
        description: content of description.json.
        console: where to.
        pairs: near-duplicates to list.
    """
    console.print(role_table(description))
    console.print(class_table(description))
    if len(description["co_occurrence"]["classes"]) > 1:
        console.print(together_table(description["co_occurrence"]))
    console.print(duplicate_table(description["near_duplicates"], pairs))
    if description["anchors"]["boxes"]:
        console.print(anchor_tables(description["anchors"]))


def _table(title: str, *columns: str, right: Sequence[str] | None = None) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    for place, column in enumerate(columns):
        is_right = place > 0 if right is None else column in right
        table.add_column(column, justify="right" if is_right else "left")
    return table


def _in_columns(title: str, figures: Mapping[str, str]) -> Group:
    width = max(map(len, figures))
    cells = [Text(f"{name:<{width}} {figure:>7}") for name, figure in figures.items()]
    return Group(Text(title, style="italic"), Columns(cells, padding=(0, 3), column_first=True))


def _style(in_use: bool) -> str:
    return "bold" if in_use else ""


def _ratio(count: int, of: int) -> str:
    return f"{count / of:.1f}" if of else NOTHING


def _size_shares(held: Figures) -> list[str]:
    return [f"{held['sizes'][name] / held['boxes']:.0%}" if held["boxes"] else NOTHING for name in SIZES]


def _side(held: Figures) -> str:
    if not held["side_quantiles"]:
        return NOTHING
    low, _, middle, _, high = held["side_quantiles"]
    return f"{low:.2f} {middle:.2f} {high:.2f}".replace("0.", ".")


def _size_note(units: Sequence[str]) -> str:
    return (
        f"Small, medium, large: COCO's areas, in {' or '.join(dict.fromkeys(units))} pixels. Side: of boxes, as a share"
        " of the\nimage's, quantiles 0.1, 0.5, 0.9."
    )


def _recall(fits: Figures, size: str) -> str:
    return f"{fits[size]['recall']:.2f}" if size in fits else NOTHING


def _short_cells(fits: Figures) -> list[str]:
    return [*(_recall(fits, size) for size in ("all", *SIZES)), f"{fits['all']['anchors_per_box']:.1f}"]


def _fit_cells(fits: Figures) -> list[str]:
    if "all" not in fits:
        return ["0"]
    quantiles = " ".join(f"{iou:.2f}" for iou in fits["all"]["iou_quantiles"])
    return [f"{fits['all']['boxes']:,}", *_short_cells(fits), quantiles]

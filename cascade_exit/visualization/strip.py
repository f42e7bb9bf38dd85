"""One photo as each exit saw it, side by side."""

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from cascade_exit.evaluation.truth import DetectionArrays
from cascade_exit.visualization.draw import Picture, as_picture, draw_boxes
from cascade_exit.visualization.grid import BACKGROUND, GAP_PX, HEADER_PX, INK

PANEL_WIDTH_PX = 480


def exit_strip(
    photo: Picture, found: Mapping[str, DetectionArrays], class_names: Sequence[str], score_threshold: float
) -> Image.Image:
    """A panel per exit, shallow to deep.

    Args:
        photo: RGB.
        found: detections by exit name, boxes in pixels of the photo.
        class_names: name of label i+1 at place i.
        score_threshold: weaker detections are left out.
    """
    picture = as_picture(photo)
    height = max(1, round(picture.height * PANEL_WIDTH_PX / picture.width))
    shown = picture.resize((PANEL_WIDTH_PX, height), Image.Resampling.LANCZOS)
    strip = Image.new("RGB", (GAP_PX + len(found) * (PANEL_WIDTH_PX + GAP_PX), HEADER_PX + height + GAP_PX), BACKGROUND)
    font = ImageFont.load_default(size=17)
    for column, (name, one) in enumerate(found.items()):
        kept = one.scores >= score_threshold
        boxes = one.boxes[kept] * (PANEL_WIDTH_PX / picture.width)
        left = GAP_PX + column * (PANEL_WIDTH_PX + GAP_PX)
        strip.paste(draw_boxes(shown, boxes, one.labels[kept], one.scores[kept], class_names), (left, HEADER_PX))
        title = f"{name}: {int(kept.sum())} found"
        ImageDraw.Draw(strip).text(
            (left + PANEL_WIDTH_PX // 2, HEADER_PX // 2), title, fill=INK, font=font, anchor="mm"
        )
    return strip

"""Colours that tell classes and outcomes apart."""

import colorsys

Color = tuple[int, int, int]

RIGHT: Color = (52, 199, 89)
FALSE: Color = (255, 69, 58)
MISSED: Color = (255, 204, 0)

# None is near the three colours above, which say something else.
_FIRST: tuple[Color, ...] = (
    (255, 140, 0),
    (0, 160, 255),
    (190, 90, 255),
    (60, 230, 230),
    (255, 110, 200),
    (176, 120, 60),
    (90, 100, 255),
    (180, 230, 90),
    (0, 150, 140),
    (255, 180, 160),
    (150, 150, 165),
    (110, 60, 130),
    (215, 185, 255),
)
_GOLDEN_RATIO = 0.618034


def class_color(label: int) -> Color:
    """The colour of a 1-based class label: chosen by hand for the first 13, spread over the hues after that."""
    index = label - 1
    if index < len(_FIRST):
        return _FIRST[index]
    # Steps of the golden ratio never come back to a hue; lightness changes too, as hues get close to each other.
    red, green, blue = colorsys.hls_to_rgb(index * _GOLDEN_RATIO % 1, (0.45, 0.6, 0.75)[index % 3], 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def text_color(background: Color) -> Color:
    """Black or white, whichever has more contrast with the background (WCAG 2.2, relative luminance)."""
    linear = [(channel / 255) ** 2.2 for channel in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # Contrast is (lighter + 0.05) / (darker + 0.05): equal for both at 0.179.
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)

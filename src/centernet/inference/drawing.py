"""The former address of `centernet.drawing`, which scripts name."""

from centernet.drawing import (
    Trails as Trails,
    class_colour as class_colour,
    contact_sheet as contact_sheet,
    draw as draw,
)

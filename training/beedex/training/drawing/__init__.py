"""The drawn gallery: 'photos' of six bee types, drawn by code alone.

It is what the demo and the tests run on, since no photo ships with the project. Each type carries its
real field marks (`marks`), each individual its own draw from them, each photo its own pose, perch,
light and camera. A bee is modelled in three dimensions: ellipsoids and cones on a depth buffer
(`canvas`), shaded (`light`), combed with strokes of hair (`hair`) and given translucent wings
(`wings`), so that the same marks show from above, from the side and face to face.
"""

from beedex.training.drawing.contact_sheet import draw_contact_sheet
from beedex.training.drawing.gallery import DrawnGallery, DrawnPhoto, draw_gallery, plan_gallery
from beedex.training.drawing.individual import Individual, meet_individual
from beedex.training.drawing.marks import FAMILIES
from beedex.training.drawing.photo import draw_photo

__all__ = [
    "FAMILIES",
    "DrawnGallery",
    "DrawnPhoto",
    "Individual",
    "draw_contact_sheet",
    "draw_gallery",
    "draw_photo",
    "meet_individual",
    "plan_gallery",
]

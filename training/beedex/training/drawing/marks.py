"""The field marks: what tells the six types apart, as ranges that individuals are drawn from.

Build and hair separate the types; colour does not, and is kept in `forms`, where the types share it.

What is drawn, and where it is described:

bumble (Bombus)
    Large and round; dense long pile over the whole body, head, thorax and abdomen alike, in collar,
    bands and tail; corbicula on a flat hind tibia. Williams, Thorp, Richardson & Colla, Bumble Bees
    of North America (2014); https://www.bloomsforbees.co.uk/id-guide/white-tailed-bumblebee/
carpenter (Xylocopa)
    Largest; broad flat abdomen, bare and shiny above; hairy thorax; dark smoky wings; broad head.
    https://entomology.tamu.edu/studylist_all/carpenter-bee/ ; http://wildflowers.jdcc.edu/Carpenter.html
honey (Apis mellifera)
    Slender; abdomen in amber and dark bands, tapering to a point; fuzzy thorax; hairs on the
    compound eyes; flat bare hind tibia with the pollen pressed into one lump.
    https://www.invasive.org/collections/viewcollection.cfm?id=516
mason (Osmia)
    Short and robust, metallic or rusty-haired; large squarish head; pollen brush under the abdomen,
    never on the legs. Mitchell, Bees of the Eastern United States II (1962), at
    https://www.discoverlife.org/20/q?search=Osmia ; https://www.wildbeeid.org/osmia
mining (Andrena)
    Slim to medium; haired thorax; velvety pale grooves (foveae) beside the eyes; pale hair bands at
    the hind edges of the tergites; loose brush of long hairs along the whole hind leg, with a curl at
    its base (flocculus). Michener, The Bees of the World (2nd ed., 2007);
    https://1001species.ca/67-unequal-cellophane-bee/
yellowface (Hylaeus)
    Tiny, slender, wasp-like, black and almost hairless; ivory or yellow face (whole in males, a
    triangle beside each eye in females), collar, tegulae and leg rings; no pollen brush at all.
    https://www.wildbeeid.org/hylaeus ; Wilson & Messinger Carril, The Bees in Your Backyard (2016)
"""

from dataclasses import dataclass

__all__ = ["FAMILIES", "FieldMarks", "Range"]

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class FieldMarks:
    """The ranges of one type.

    Widths and pile lengths are shares of the thorax width unless their comment says otherwise.
    """

    length_mm: Range  # head to tail
    thorax_width: Range  # of the body's length
    thorax_length: Range  # of the body's length
    head_width: Range
    head_depth: Range  # of the head's width; a squarish head is deep
    abdomen_length: Range  # of the body's length
    abdomen_width: Range
    abdomen_rise: Range  # height over width; flat below 0.7
    abdomen_widest: Range  # how far back the abdomen is widest, of its length
    leg_width: Range
    antenna: Range  # of the head's width
    thorax_pile: Range
    thorax_cover: Range  # 0 bare, 1 the cuticle can't be seen
    abdomen_pile: Range
    abdomen_cover: Range
    face_cover: Range
    fringe_cover: Range  # hair bands at the hind edges of the tergites
    belly_brush: Range  # hairs under the abdomen that hold pollen
    leg_brush: Range  # hairs on the hind leg that hold pollen
    basket: bool  # flat, bare hind tibia that holds one lump of pollen
    foveae: bool
    mask: bool
    eye_hair: bool
    bare_spot: bool  # amid the hair of the thorax
    dark_bands: bool  # of cuticle, at the hind edges of the tergites
    pile_stands: bool  # hair of the abdomen stands up and does not lie back
    thorax_gloss: Range
    abdomen_gloss: Range
    wing_length: Range  # of the body's length
    wing_smoke: Range  # 0 clear, 1 opaque


FAMILIES: dict[str, FieldMarks] = {
    "bumble": FieldMarks(
        length_mm=(11, 20), thorax_width=(0.39, 0.45), thorax_length=(0.37, 0.41),
        head_width=(0.70, 0.80), head_depth=(0.46, 0.54),
        abdomen_length=(0.50, 0.55), abdomen_width=(1.04, 1.18), abdomen_rise=(0.80, 0.92), abdomen_widest=(0.42, 0.52),
        leg_width=(0.066, 0.086), antenna=(1.0, 1.3),
        thorax_pile=(0.17, 0.27), thorax_cover=(0.93, 1.0), abdomen_pile=(0.15, 0.25), abdomen_cover=(0.88, 1.0),
        face_cover=(0.6, 0.9), fringe_cover=(0.0, 0.15), belly_brush=(0.0, 0.03), leg_brush=(0.03, 0.06),
        basket=True, foveae=False, mask=False, eye_hair=False,
        bare_spot=False, dark_bands=False, pile_stands=True,
        thorax_gloss=(0.15, 0.3), abdomen_gloss=(0.2, 0.35), wing_length=(0.66, 0.76), wing_smoke=(0.08, 0.30),
    ),
    "carpenter": FieldMarks(
        length_mm=(17, 25), thorax_width=(0.38, 0.44), thorax_length=(0.33, 0.37),
        head_width=(0.84, 0.96), head_depth=(0.46, 0.54),
        abdomen_length=(0.50, 0.55), abdomen_width=(1.12, 1.28), abdomen_rise=(0.58, 0.70), abdomen_widest=(0.46, 0.56),
        leg_width=(0.078, 0.098), antenna=(0.85, 1.1),
        thorax_pile=(0.10, 0.17), thorax_cover=(0.75, 1.0), abdomen_pile=(0.06, 0.12), abdomen_cover=(0.0, 0.05),
        face_cover=(0.1, 0.35), fringe_cover=(0.0, 0.02), belly_brush=(0.0, 0.03), leg_brush=(0.07, 0.13),
        basket=False, foveae=False, mask=False, eye_hair=False,
        bare_spot=True, dark_bands=False, pile_stands=False,
        thorax_gloss=(0.4, 0.7), abdomen_gloss=(0.75, 1.0), wing_length=(0.72, 0.82), wing_smoke=(0.42, 0.88),
    ),
    "honey": FieldMarks(
        length_mm=(11, 15), thorax_width=(0.285, 0.325), thorax_length=(0.29, 0.33),
        head_width=(0.88, 0.98), head_depth=(0.40, 0.46),
        abdomen_length=(0.54, 0.59), abdomen_width=(1.00, 1.14), abdomen_rise=(0.80, 0.92), abdomen_widest=(0.34, 0.42),
        leg_width=(0.070, 0.090), antenna=(0.9, 1.15),
        thorax_pile=(0.15, 0.22), thorax_cover=(0.55, 0.85), abdomen_pile=(0.04, 0.07), abdomen_cover=(0.02, 0.08),
        face_cover=(0.35, 0.6), fringe_cover=(0.05, 0.35), belly_brush=(0.0, 0.02), leg_brush=(0.02, 0.05),
        basket=True, foveae=False, mask=False, eye_hair=True,
        bare_spot=False, dark_bands=True, pile_stands=False,
        thorax_gloss=(0.2, 0.35), abdomen_gloss=(0.4, 0.62), wing_length=(0.66, 0.75), wing_smoke=(0.03, 0.14),
    ),
    "mason": FieldMarks(
        length_mm=(8, 13), thorax_width=(0.36, 0.41), thorax_length=(0.34, 0.38),
        head_width=(0.97, 1.08), head_depth=(0.60, 0.72),
        abdomen_length=(0.44, 0.49), abdomen_width=(0.98, 1.10), abdomen_rise=(0.84, 0.96), abdomen_widest=(0.50, 0.60),
        leg_width=(0.066, 0.082), antenna=(0.8, 1.1),
        thorax_pile=(0.10, 0.18), thorax_cover=(0.20, 0.50), abdomen_pile=(0.05, 0.10), abdomen_cover=(0.02, 0.14),
        face_cover=(0.35, 0.7), fringe_cover=(0.0, 0.15), belly_brush=(0.15, 0.24), leg_brush=(0.02, 0.04),
        basket=False, foveae=False, mask=False, eye_hair=False,
        bare_spot=False, dark_bands=False, pile_stands=False,
        thorax_gloss=(0.45, 0.7), abdomen_gloss=(0.6, 0.9), wing_length=(0.60, 0.70), wing_smoke=(0.04, 0.18),
    ),
    "mining": FieldMarks(
        length_mm=(8, 15), thorax_width=(0.30, 0.345), thorax_length=(0.31, 0.35),
        head_width=(0.88, 0.97), head_depth=(0.40, 0.48),
        abdomen_length=(0.51, 0.56), abdomen_width=(0.98, 1.12), abdomen_rise=(0.60, 0.72), abdomen_widest=(0.48, 0.56),
        leg_width=(0.066, 0.086), antenna=(0.9, 1.2),
        thorax_pile=(0.14, 0.23), thorax_cover=(0.50, 0.90), abdomen_pile=(0.06, 0.12), abdomen_cover=(0.04, 0.20),
        face_cover=(0.3, 0.6), fringe_cover=(0.65, 1.0), belly_brush=(0.0, 0.03), leg_brush=(0.15, 0.24),
        basket=False, foveae=True, mask=False, eye_hair=False,
        bare_spot=False, dark_bands=False, pile_stands=False,
        thorax_gloss=(0.2, 0.35), abdomen_gloss=(0.4, 0.65), wing_length=(0.66, 0.75), wing_smoke=(0.04, 0.20),
    ),
    "yellowface": FieldMarks(
        length_mm=(4.5, 7.5), thorax_width=(0.225, 0.265), thorax_length=(0.31, 0.35),
        head_width=(0.98, 1.08), head_depth=(0.42, 0.50),
        abdomen_length=(0.51, 0.56), abdomen_width=(0.84, 0.98), abdomen_rise=(0.78, 0.9), abdomen_widest=(0.48, 0.58),
        leg_width=(0.062, 0.078), antenna=(0.9, 1.25),
        thorax_pile=(0.03, 0.05), thorax_cover=(0.0, 0.03), abdomen_pile=(0.02, 0.03), abdomen_cover=(0.0, 0.01),
        face_cover=(0.0, 0.02), fringe_cover=(0.0, 0.0), belly_brush=(0.0, 0.0), leg_brush=(0.0, 0.0),
        basket=False, foveae=False, mask=True, eye_hair=False,
        bare_spot=False, dark_bands=False, pile_stands=False,
        thorax_gloss=(0.3, 0.55), abdomen_gloss=(0.55, 0.8), wing_length=(0.60, 0.70), wing_smoke=(0.04, 0.22),
    ),
}  # fmt: skip

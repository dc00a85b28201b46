"""The forms: which colours a type comes in, after species that photographers meet.

Every colour family (black, foxy, golden, pale-banded, metallic) is worn by more than one type, as in
nature: colour alone does not name the type. Colours follow the species' usual look as field guides show
it (Falk & Lewington, Field Guide to the Bees of Great Britain and Ireland, 2015; Wilson & Messinger
Carril, The Bees in Your Backyard, 2016), simplified: they tell types apart here, not species.
"""

from dataclasses import dataclass

__all__ = ["FORMS", "Form"]

BLACK = "#16130f"
BROWN = "#3a2618"
WHITE = "#ece4cf"
BUFF = "#c9a873"
LEMON = "#e3bf35"
GOLD = "#c98f22"
FOXY = "#a8521c"
RUST = "#8c451d"
GREY = "#a9a08f"
ASH = "#6e675d"
AMBER = "#c2701a"
TEAL = "#14584e"
BLUE = "#1b3f80"


@dataclass(frozen=True, kw_only=True)
class Form:
    """The colours of one species or sex.

    Attributes:
        species: whose colours these are.
        share: how often the form is met, against the other forms of its type.
        cuticle: head and thorax under the hair.
        tergites: the six plates of the abdomen, front to tail.
        collar: hair on the front of the thorax.
        disc: hair on its middle.
        scutellum: hair on its rear.
        bands: hair of the six tergites.
        fringe: hair bands at the tergites' hind edges.
        face: hair of the face.
        brush: pollen hairs of belly or legs.
        mark: pale marks of cuticle on face, collar and legs.
        legs: cuticle of the legs.
        eyes: the compound eyes.
        metal: how metallic the cuticle is, in [0, 1].
        male: a male has no pollen hairs, longer antennae, and in `mask` types the whole face pale.
    """

    species: str
    share: float = 1.0
    cuticle: str = BLACK
    tergites: tuple[str, ...] = (BLACK,) * 6
    collar: str
    disc: str
    scutellum: str
    bands: tuple[str, ...]
    fringe: str = BUFF
    face: str = BLACK
    brush: str = BUFF
    mark: str = "#e9dfa8"
    legs: str = BLACK
    eyes: str = "#1a100c"
    metal: float = 0.0
    male: bool = False


def _coat(species: str, thorax: str, bands: str | tuple[str, ...], **colours: object) -> Form:
    """A form whose thorax is of one hair colour and whose tergites are alike unless told."""
    each = (bands,) * 6 if isinstance(bands, str) else bands
    return Form(species=species, collar=thorax, disc=thorax, scutellum=thorax, bands=each, **colours)  # type: ignore[arg-type]  # Form's fields


FORMS: dict[str, tuple[Form, ...]] = {
    "bumble": (
        Form(species="Bombus lucorum", collar=LEMON, disc=BLACK, scutellum=BLACK,
             bands=(BLACK, LEMON, BLACK, WHITE, WHITE, WHITE)),
        Form(species="Bombus terrestris", collar=GOLD, disc=BLACK, scutellum=BLACK,
             bands=(BLACK, GOLD, BLACK, BUFF, BUFF, WHITE)),
        Form(species="Bombus hortorum", collar=LEMON, disc=BLACK, scutellum=LEMON,
             bands=(LEMON, BLACK, BLACK, WHITE, WHITE, WHITE)),
        Form(species="Bombus lapidarius", share=0.2, collar=BLACK, disc=BLACK, scutellum=BLACK,
             bands=(BLACK, BLACK, BLACK, FOXY, FOXY, FOXY)),
        _coat("Bombus pascuorum", FOXY, (BUFF, ASH, ASH, BROWN, FOXY, FOXY), face=BUFF, share=0.15),
        _coat("Bombus impatiens", LEMON, (LEMON, BLACK, BLACK, BLACK, BLACK, BLACK)),
        _coat("Bombus hortorum, dark", BLACK, BLACK, share=0.2),
    ),
    "carpenter": (
        _coat("Xylocopa virginica", GOLD, BLACK, fringe=BLACK, brush=BROWN),
        _coat("Xylocopa virginica, male", BUFF, BLACK, fringe=BLACK, mark="#efe2b8", eyes="#4b4a32", male=True,
              share=0.5),
        _coat("Xylocopa violacea", BLACK, BLACK, cuticle="#14131c", tergites=("#14131f",) * 6,
              fringe=BLACK, brush=BLACK, metal=0.5),
        _coat("Xylocopa micans", BLACK, BLACK, tergites=("#101a1c",) * 6, fringe=BLACK, brush=BROWN, metal=0.5),
        _coat("Xylocopa sonorina, male", GOLD, GOLD, cuticle="#6b4315", tergites=("#7c4d18",) * 6,
              fringe=GOLD, face=GOLD, legs="#6b4315", eyes="#5c7440", male=True, share=0.2),
        _coat("Xylocopa caffra", BLACK, BLACK, fringe=LEMON, brush=BLACK),
    ),
    "honey": (
        _coat("Apis mellifera ligustica", BUFF, GOLD, cuticle=BROWN, fringe=BUFF, face=BUFF, legs="#4a2a15",
              tergites=(AMBER, AMBER, AMBER, "#8a4f19", "#4a2a12", BLACK)),
        _coat("Apis mellifera mellifera", "#7a5a34", "#7a5a34", cuticle=BLACK, fringe=ASH, face=ASH,
              tergites=("#2c1c10", "#3c2513", "#2c1c10", "#20150d", BLACK, BLACK), share=0.14),
        _coat("Apis mellifera carnica", GREY, GREY, cuticle="#241a13", fringe=GREY, face=GREY,
              tergites=("#3a2616", "#4d3119", "#33231a", "#261b14", BLACK, BLACK), share=0.14),
        _coat("Apis mellifera, cordovan", GOLD, GOLD, cuticle="#5b3214", fringe=BUFF, face=GOLD, legs="#7a4519",
              tergites=("#c47a24", "#bd7122", "#b3691f", "#a05a1b", "#8b4a18", "#6b3714")),
        _coat("Apis mellifera", "#a0733a", "#a0733a", cuticle="#2b1c12", fringe=BUFF, face=BUFF, legs="#33200f",
              tergites=("#9a581a", "#b0661a", "#8c5018", "#5a3412", "#2a1a0d", BLACK)),
    ),
    "mason": (
        _coat("Osmia bicornis", RUST, (RUST, FOXY, FOXY, FOXY, RUST, RUST), cuticle="#1d1713",
              tergites=("#2a1d14",) * 6, brush=FOXY, metal=0.25, share=0.25),
        _coat("Osmia lignaria", ASH, BLACK, cuticle=BLUE, tergites=(BLUE,) * 6, fringe=ASH, brush=BLACK, metal=0.9),
        _coat("Osmia caerulescens", GREY, ASH, cuticle="#183560", tergites=("#1a3a6c",) * 6, fringe=WHITE,
              brush=BLACK, metal=0.8),
        _coat("Osmia cornuta", BLACK, (FOXY,) * 6, tergites=("#28180f",) * 6, brush=FOXY, metal=0.15, share=0.15),
        _coat("Osmia aurulenta", GOLD, (GOLD,) * 6, cuticle="#1c1510", fringe=GOLD, brush=FOXY, metal=0.2, share=0.15),
        _coat("Osmia, metallic green", BUFF, BUFF, cuticle=TEAL, tergites=(TEAL,) * 6, fringe=BUFF, face=WHITE,
              brush=BUFF, metal=0.9, share=0.5),
        _coat("Osmia leaiana", BUFF, BROWN, cuticle="#1a1612", tergites=("#1c1713",) * 6, brush=GOLD, metal=0.3,
              share=0.12),
    ),
    "mining": (
        _coat("Andrena fulva", FOXY, FOXY, fringe=FOXY, brush=BUFF, face=BLACK, cuticle="#1c140e", share=0.4),
        _coat("Andrena haemorrhoa", FOXY, (BROWN, BLACK, BLACK, BLACK, GOLD, GOLD), fringe=BUFF, brush=GOLD,
              face=WHITE),
        Form(species="Andrena cineraria", collar=WHITE, disc=BLACK, scutellum=WHITE, bands=(BLACK,) * 6,
             fringe=GREY, brush=GREY, face=WHITE, tergites=("#12141c",) * 6, metal=0.35, share=0.4),
        _coat("Andrena flavipes", BUFF, BROWN, fringe=BUFF, brush=GOLD, face=BUFF, cuticle="#241a12", share=0.25),
        _coat("Andrena carlini", GREY, BLACK, fringe=GREY, brush=WHITE, face=WHITE, share=0.18),
        _coat("Andrena nitida", RUST, BLACK, fringe=WHITE, brush=WHITE, face=WHITE),
        _coat("Andrena marginata", GREY, AMBER, tergites=(BROWN, AMBER, AMBER, AMBER, "#8a4f19", BROWN),
              fringe=WHITE, brush=WHITE, face=GREY, share=0.12),
    ),
    "yellowface": (
        _coat("Hylaeus communis", ASH, BLACK, mark="#e8d77a"),
        _coat("Hylaeus communis, male", ASH, BLACK, mark="#efe08a", male=True),
        _coat("Hylaeus hyalinatus", GREY, BLACK, fringe=WHITE, mark="#efe7c6"),
        _coat("Hylaeus signatus, male", GREY, BLACK, mark="#f2ecd2", male=True),
        _coat("Hylaeus modestus, male", ASH, BLACK, mark="#f0d95e", male=True),
        _coat("Hylaeus variegatus", ASH, BROWN, tergites=("#7c3216", "#6b2b14", "#22150e", BLACK, BLACK, BLACK),
              mark="#efe3a4", share=0.5),
        _coat("Hylaeus, brown-legged", ASH, BLACK, cuticle="#21170f", tergites=("#281c12",) * 6, legs="#4d2f15",
              mark="#ead98b", male=True),
    ),
}  # fmt: skip

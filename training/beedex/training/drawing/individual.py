"""One bee: a draw from its type's ranges."""

from dataclasses import dataclass

import numpy as np

from beedex.training.drawing.canvas import Floats
from beedex.training.drawing.forms import FORMS, Form
from beedex.training.drawing.marks import FAMILIES, FieldMarks

__all__ = ["Coat", "Individual", "meet_individual"]


@dataclass(frozen=True, kw_only=True)
class Coat:
    """The colours of an individual, linear light in [0, 1].

    `tergites` and `bands` are (6, 3), the rest (3,). See `Form` for what each colours.
    """

    cuticle: Floats
    tergites: Floats
    collar: Floats
    disc: Floats
    scutellum: Floats
    bands: Floats
    fringe: Floats
    face: Floats
    brush: Floats
    mark: Floats
    legs: Floats
    eyes: Floats
    pollen: Floats


@dataclass(frozen=True, kw_only=True)
class Individual:
    """A bee that can be photographed more than once.

    Attributes:
        family: key of `FAMILIES`.
        species: whose colours it wears.
        marks: the type's marks that are yes or no.
        values: one number for every `Range` of `FieldMarks`, by its name.
        coat: its colours.
        metal: how metallic its cuticle is.
        male: True for a male.
        collar_edge: where the collar ends on the thorax, -1 rear to 1 front.
        band_edge: where a tergite's dark hind band begins, of the tergite's length.
        wear: how much hair it has lost, 0 fresh to 1 bald on top of the thorax.
        has_pollen: carries a load.
        seed: what its own texture (hair roots, punctures, veins) is drawn from.
    """

    family: str
    species: str
    marks: FieldMarks
    values: dict[str, float]
    coat: Coat
    metal: float
    male: bool
    collar_edge: float
    band_edge: float
    wear: float
    has_pollen: bool
    seed: int

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    @property
    def thorax_width_mm(self) -> float:
        """The unit of most other widths."""
        return self["length_mm"] * self["thorax_width"]


# Pollen of dandelion, willow, bramble, poppy: what loads look like.
POLLEN = ("#e0921b", "#e8c63a", "#cfc59a", "#8f7d63", "#c8641c")


def meet_individual(family: str, rng: np.random.Generator) -> Individual:
    """Draw an individual of a family.

    Args:
        family: key of `FAMILIES`.
        rng: owned by the individual; the same state gives the same bee.
    """
    marks = FAMILIES[family]
    forms = FORMS[family]
    shares = np.array([form.share for form in forms])
    form = forms[int(rng.choice(len(forms), p=shares / shares.sum()))]
    values = {name: float(rng.uniform(*limits)) for name, limits in vars(marks).items() if isinstance(limits, tuple)}
    if form.male:
        values |= {"leg_brush": values["leg_brush"] * 0.2, "belly_brush": 0.0, "antenna": values["antenna"] * 1.25}
    return Individual(
        family=family,
        species=form.species,
        marks=marks,
        values=values,
        coat=_dye(form, rng),
        metal=float(np.clip(form.metal + rng.normal(0, 0.08), 0, 1)) if form.metal else 0.0,
        male=form.male,
        collar_edge=float(rng.uniform(0.15, 0.5)),
        band_edge=float(rng.uniform(0.35, 0.6)),
        wear=float(rng.beta(1.2, 4)),
        has_pollen=not form.male and not marks.mask and bool(rng.random() < 0.45),
        seed=int(rng.integers(2**31)),
    )


def _dye(form: Form, rng: np.random.Generator) -> Coat:
    """The form's colours, shifted as one (age, sun bleaching) and each a little on its own."""
    warmth, depth = rng.normal(0, 0.06), rng.normal(0, 0.13)

    def dye(colour: str) -> Floats:
        linear = (np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255) ** 2
        own = rng.normal(0, 0.05, size=3)
        shift = np.exp(depth + own + np.array([warmth, 0, -2 * warmth]))
        return np.asarray(np.clip(linear * shift + 0.001, 0, 0.9), dtype=np.float32)

    dyed = {
        name: np.stack([dye(each) for each in value]) if isinstance(value, tuple) else dye(value)
        for name, value in vars(form).items()
        if name not in {"species", "share", "metal", "male"}
    }
    return Coat(**dyed, pollen=dye(POLLEN[int(rng.integers(len(POLLEN)))]))

"""The report of a training: what was found, as the page shows it."""

from collections.abc import Callable

from beedex.training.export import Provenance
from beedex.training.judging.calibration import crossfit_probabilities
from beedex.training.judging.crossvalidation import CrossValidation
from beedex.training.judging.figures import Judgement
from beedex.training.recipes.material import Material
from beedex.training.recipes.stages import TrainedStages
from beedex.training.report import EmbeddingMap, Origin, ReportContent, find_doubts
from beedex.training.reporting import (
    PhotoReader,
    count_confusions,
    list_lookups,
    list_photos,
    list_taps,
    name_histories,
    read_calibration,
    tabulate,
)
from beedex.training.trainingset import TrainingSet

__all__ = ["compose_training_report"]


def compose_training_report(
    *,
    data: TrainingSet,
    material: Material,
    stages: TrainedStages,
    held_out: CrossValidation,
    judgement: Judgement,
    provenance: Provenance,
    protocol: str,
) -> Callable[[Origin], ReportContent]:
    """Return what makes the report's content, once the embedder has a fingerprint.

    Args:
        data: the photos.
        material: their stored numbers.
        stages: the final training.
        held_out: the cross-validation.
        judgement: its scores.
        provenance: calibration and figures.
        protocol: how photos were held out, in words.
    """

    def compose(origin: Origin) -> ReportContent:
        labels, groups = material.labels, material.groups
        probabilities = crossfit_probabilities(held_out.evidence, labels, groups)
        return ReportContent(
            title=data.inspection.gallery.root.resolve().name,
            origin=origin,
            results=tabulate(judgement, protocol=protocol, notes=provenance.metrics["left_out"]),
            families=material.families,
            photos=list_photos(data.photos),
            read_photo=PhotoReader(data.inspection.gallery.root, data.photos),
            embedding_map=EmbeddingMap(
                embeddings=stages.embed(material), features=stages.read_frozen(material), trained_on=True
            ),
            confusion=count_confusions(probabilities, labels, len(material.families)),
            calibration=read_calibration(provenance.calibration, held_out, labels, groups),
            lookups=list_lookups(held_out, labels),
            doubts=find_doubts(probabilities, labels),
            histories=name_histories(stages.histories),
            taps=list_taps(stages.choices.selection),
        )

    return compose

"""Backbone stages, anchors, branches, heads, the cascade, decoding and NMS."""

from cascade_exit.model.anchors import AnchorGrid
from cascade_exit.model.cascade import CascadeDetector, State, exit_grids, images_by_size
from cascade_exit.model.config import FULL, BackboneConfig, ExitConfig, FullConfig, LookConfig, ModelConfig
from cascade_exit.model.costs import ExitCost, exit_costs
from cascade_exit.model.decoding import DecodingConfig, Kept, decode, decode_exits, decode_kept
from cascade_exit.model.digest import DIGEST_ANCHORS, Digest, make_digest, mean_confidence, mean_normalised_entropy
from cascade_exit.model.exits import Look
from cascade_exit.model.output import Detections, ExitOutput
from cascade_exit.model.probabilities import label_probabilities
from cascade_exit.model.weights import LoadReport, from_torchvision, load_what_fits, recognise, to_torchvision

__all__ = [
    "DIGEST_ANCHORS",
    "FULL",
    "AnchorGrid",
    "BackboneConfig",
    "CascadeDetector",
    "DecodingConfig",
    "Detections",
    "Digest",
    "ExitConfig",
    "ExitCost",
    "ExitOutput",
    "FullConfig",
    "Kept",
    "LoadReport",
    "Look",
    "LookConfig",
    "ModelConfig",
    "State",
    "decode",
    "decode_exits",
    "decode_kept",
    "exit_costs",
    "exit_grids",
    "from_torchvision",
    "images_by_size",
    "label_probabilities",
    "load_what_fits",
    "make_digest",
    "mean_confidence",
    "mean_normalised_entropy",
    "recognise",
    "to_torchvision",
]

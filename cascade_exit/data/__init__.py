"""Class map, COCO sets and their four roles, decoding, augmentation, samplers and batches."""

from cascade_exit.data.augment_config import AugmentConfig
from cascade_exit.data.batch import Batch, Sample, Targets, collate
from cascade_exit.data.batch_augment import BatchAugmenter
from cascade_exit.data.check import check_images
from cascade_exit.data.class_map import ClassMap
from cascade_exit.data.coco_set import read_coco
from cascade_exit.data.config import DataConfig, RoleFiles
from cascade_exit.data.corruptions import CorruptedStore
from cascade_exit.data.images import read_image
from cascade_exit.data.input import (
    SMALLEST_PX,
    InputConfig,
    boxes_to_input,
    boxes_to_original,
    resize_image,
    shrink_images,
)
from cascade_exit.data.inputs import read_inputs
from cascade_exit.data.loaders import evaluation_loader, training_loader
from cascade_exit.data.randomness import derive_seed
from cascade_exit.data.record import CocoSet, ImageRecord
from cascade_exit.data.roles import ROLES, Role, SplitConfig
from cascade_exit.data.sampler import EvaluationBatchSampler, ResumableBatchSampler
from cascade_exit.data.sources import load_role, load_roles, open_images
from cascade_exit.data.store import ImageStore
from cascade_exit.data.video import Video, require_av

__all__ = [
    "ROLES",
    "SMALLEST_PX",
    "AugmentConfig",
    "Batch",
    "BatchAugmenter",
    "ClassMap",
    "CocoSet",
    "CorruptedStore",
    "DataConfig",
    "EvaluationBatchSampler",
    "ImageRecord",
    "ImageStore",
    "InputConfig",
    "ResumableBatchSampler",
    "Role",
    "RoleFiles",
    "Sample",
    "SplitConfig",
    "Targets",
    "Video",
    "boxes_to_input",
    "boxes_to_original",
    "check_images",
    "collate",
    "derive_seed",
    "evaluation_loader",
    "load_role",
    "load_roles",
    "open_images",
    "read_coco",
    "read_image",
    "read_inputs",
    "require_av",
    "resize_image",
    "shrink_images",
    "training_loader",
]

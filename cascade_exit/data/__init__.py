"""Class map, COCO sets and their four roles, sets that are made, decoding, augmentation, samplers and batches."""

from cascade_exit.data.augment_config import AugmentConfig
from cascade_exit.data.batch import Batch, Sample, Targets, collate
from cascade_exit.data.batch_augment import BatchAugmenter
from cascade_exit.data.check import check_images
from cascade_exit.data.class_map import ClassMap
from cascade_exit.data.coco_set import read_coco
from cascade_exit.data.config import DataConfig, RoleFiles
from cascade_exit.data.corruptions import CorruptedStore
from cascade_exit.data.image_hash import perceptual_hash
from cascade_exit.data.images import read_image
from cascade_exit.data.input import (
    SMALLEST_PX,
    InputConfig,
    boxes_to_input,
    boxes_to_original,
    image_tensor,
    resize_image,
    shrink_images,
    stack_images,
)
from cascade_exit.data.inputs import read_inputs
from cascade_exit.data.loaders import evaluation_loader, training_loader
from cascade_exit.data.near_duplicates import NEAR_BITS, HashedRole, NearDuplicate, find_near_duplicates, hash_roles
from cascade_exit.data.randomness import derive_seed
from cascade_exit.data.record import CocoSet, ImageRecord
from cascade_exit.data.roles import ROLES, Measurable, Role, SplitConfig
from cascade_exit.data.sampler import EvaluationBatchSampler, ResumableBatchSampler
from cascade_exit.data.sampling import SamplingConfig, image_factors
from cascade_exit.data.sources import build_data, load_role, load_roles, open_images
from cascade_exit.data.store import ImageStore
from cascade_exit.data.video import Video, require_av

__all__ = [
    "NEAR_BITS",
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
    "HashedRole",
    "ImageRecord",
    "ImageStore",
    "InputConfig",
    "Measurable",
    "NearDuplicate",
    "ResumableBatchSampler",
    "Role",
    "RoleFiles",
    "Sample",
    "SamplingConfig",
    "SplitConfig",
    "Targets",
    "Video",
    "boxes_to_input",
    "boxes_to_original",
    "build_data",
    "check_images",
    "collate",
    "derive_seed",
    "evaluation_loader",
    "find_near_duplicates",
    "hash_roles",
    "image_factors",
    "image_tensor",
    "load_role",
    "load_roles",
    "open_images",
    "perceptual_hash",
    "read_coco",
    "read_image",
    "read_inputs",
    "require_av",
    "resize_image",
    "shrink_images",
    "stack_images",
    "training_loader",
]

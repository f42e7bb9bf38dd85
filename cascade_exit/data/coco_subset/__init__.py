"""Sets made from COCO 2017 itself: which images, in which role, and fetching them."""

from cascade_exit.data.coco_subset.build import build_subset
from cascade_exit.data.coco_subset.config import DownloadConfig, RoleShares, SubsetConfig

__all__ = ["DownloadConfig", "RoleShares", "SubsetConfig", "build_subset"]

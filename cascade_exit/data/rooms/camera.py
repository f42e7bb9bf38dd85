"""A pinhole camera that stands in the room."""

import math
from dataclasses import dataclass

import numpy as np

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """Where the camera stands (metres), where it looks (radians) and its picture (pixels).

    With yaw and pitch 0 it looks along +z; positive yaw turns it towards +x, positive pitch downwards.
    """

    x: float
    y: float
    z: float
    yaw: float
    pitch: float
    roll: float
    focal_px: float
    width: int
    height: int

    def axes(self) -> tuple[Vector, Vector, Vector]:
        """Give the directions of the picture's right, of its bottom and of the view, as unit vectors."""
        sin_yaw, cos_yaw = math.sin(self.yaw), math.cos(self.yaw)
        sin_pitch, cos_pitch = math.sin(self.pitch), math.cos(self.pitch)
        sin_roll, cos_roll = math.sin(self.roll), math.cos(self.roll)
        right = (cos_yaw, 0.0, -sin_yaw)
        down = (-sin_yaw * sin_pitch, -cos_pitch, -cos_yaw * sin_pitch)
        rolled_right = _sum(right, cos_roll, down, sin_roll)
        rolled_down = _sum(down, cos_roll, right, -sin_roll)
        return rolled_right, rolled_down, (sin_yaw * cos_pitch, -sin_pitch, cos_yaw * cos_pitch)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project world points into the picture.

        Args:
            points: ``[..., 3]`` in metres.

        Returns:
            ``[..., 3]``: pixel column, pixel row and depth along the view in metres. Columns and rows mean
            nothing where the depth is not positive.
        """
        x, y, z = points[..., 0] - self.x, points[..., 1] - self.y, points[..., 2] - self.z
        # Sums of products instead of a matrix product: a BLAS may round differently with the shape or threads.
        across, down, depth = (axis[0] * x + axis[1] * y + axis[2] * z for axis in self.axes())
        scale = self.focal_px / np.maximum(depth, 1e-3)
        return np.stack((self.width / 2 + across * scale, self.height / 2 + down * scale, depth), axis=-1)

    def project_point(self, x: float, y: float, z: float) -> Vector:
        """Project one point; as ``project``, without arrays."""
        right, down, view = self.axes()
        dx, dy, dz = x - self.x, y - self.y, z - self.z
        depth = view[0] * dx + view[1] * dy + view[2] * dz
        scale = self.focal_px / max(depth, 1e-3)
        column = self.width / 2 + (right[0] * dx + right[1] * dy + right[2] * dz) * scale
        row = self.height / 2 + (down[0] * dx + down[1] * dy + down[2] * dz) * scale
        return column, row, depth

    def rays(self) -> np.ndarray:
        """Give the direction through the middle of every pixel, ``[3, height, width]`` float32, depth 1."""
        across = ((np.arange(self.width, dtype=np.float32) + 0.5) - self.width / 2) / self.focal_px
        down = ((np.arange(self.height, dtype=np.float32) + 0.5) - self.height / 2) / self.focal_px
        right, below, view = self.axes()
        return np.stack(
            [
                np.float32(right[i]) * across[None, :] + (np.float32(below[i]) * down + np.float32(view[i]))[:, None]
                for i in range(3)
            ]
        ).astype(np.float32)

    def floor_point(self, depth: float, sideways: float) -> tuple[float, float]:
        """Give the (x, z) on the floor that lies ``depth`` metres ahead and ``sideways`` to the right."""
        sin_yaw, cos_yaw = math.sin(self.yaw), math.cos(self.yaw)
        return self.x + depth * sin_yaw + sideways * cos_yaw, self.z + depth * cos_yaw - sideways * sin_yaw


def _sum(first: Vector, a: float, second: Vector, b: float) -> Vector:
    return (a * first[0] + b * second[0], a * first[1] + b * second[1], a * first[2] + b * second[2])

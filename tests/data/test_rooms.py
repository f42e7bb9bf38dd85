from pathlib import Path
from cascade_exit.data.rooms import COCO_CATEGORY_IDS, RoleCounts, RoomsConfig, generate_rooms


def test_x(tmp_path: Path) -> None:
    generate_rooms(tmp_path / "a", RoomsConfig(images=RoleCounts(10, 0, 0, 0)))

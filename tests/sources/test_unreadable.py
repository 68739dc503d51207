"""hwrlib.sources keeps what can be read, and nothing else."""

import numpy as np
from PIL import Image

from hwrlib.sources import prepare_folder

WORD = np.full((48, 160), 255, np.uint8)


WORD[10:38, 20:24] = WORD[34:38, 20:50] = WORD[10:38, 90:94] = 0


def test_what_prepare_keeps_is_what_can_be_read(tmp_path):
    (tmp_path / "images").mkdir()
    for name in "abcdefg":
        floats = (WORD / 255).astype(np.float32)
        floats[0, 0] = np.nan if name == "g" else 1  # Pillow decodes it, but no grey level follows from it
        Image.fromarray(floats).save(tmp_path / f"images/{name}.tif")
    (tmp_path / "table.csv").write_text("FILENAME,IDENTITY\n" + "".join(f"{name}.tif,ANNE\n" for name in "abcdefg"))
    report = prepare_folder(tmp_path / "images", tmp_path / "table.csv", tmp_path / "set", validation=0.3, test=0.3)
    assert sum(counts.kept for split, counts in report.splits.items() if split != "table") == 6

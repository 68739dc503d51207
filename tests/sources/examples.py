"""Sources of data sets: zips and folders in several layouts."""

import io
import os
import zipfile

from PIL import Image

from hwrlib.sets.labels import SPLITS


def image_bytes(kind="JPEG", grey=255):
    file = io.BytesIO()
    Image.new("L", (40, 16), grey).save(file, kind)
    return file.getvalue()


IMAGE = image_bytes()


HEADER = "FILENAME,IDENTITY\n"


def kaggle_files(rows=4, base="", **tables):
    """Name -> bytes in Kaggle's layout: `rows` good rows per split, then the rows given for a split in `tables`."""
    files = {}
    for split in SPLITS:
        names = [f"{split.upper()}_{i}.jpg" for i in range(rows)]
        table = HEADER + "".join(f"{name},NAME {i}\n" for i, name in enumerate(names)) + tables.get(split, "")
        files[f"{base}written_name_{split}_v2.csv"] = table.encode()
        files |= {f"{base}{split}_v2/{split}/{name}": IMAGE for name in names}
    return files


def make_zip(path, files, *more):
    """A zip of `files`, then of the (ZipInfo or name, bytes) pairs in `more`, with unchecked names."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in [*files.items(), *more]:
            archive.writestr(name, data)
    return path


def make_folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def listed(folder):
    """The names in a folder, sorted, without the locks that stay there."""
    return sorted(name for name in os.listdir(folder) if not name.endswith(".lock"))


def everything_under(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def own_set(folder, count=60, header="scan;texte;main\n"):
    """`count` images in subfolders and a semicolon table in latin-1 with CRLF: 12 writers of unequal size."""
    names = [f"page {i % 3}/l{i}.png" for i in range(count)]
    make_folder(folder / "images", {name: image_bytes("PNG", i) for i, name in enumerate(names)})
    lines = [f"{name};été {i};w{int(i**0.6)}\n" for i, name in enumerate(names)]
    (folder / "t.csv").write_bytes((header + "".join(lines)).replace("\n", "\r\n").encode("latin-1"))
    return dict(images=folder / "images", table=folder / "t.csv", filename_column="scan", text_column="texte")


def nested_set(folder):
    """Ten images in two subfolders and a table of their bare names."""
    names = [f"page {i % 2}/l{i}.png" for i in range(10)]
    make_folder(folder / "images", {name: image_bytes("PNG", i) for i, name in enumerate(names)})
    (folder / "t.csv").write_text(HEADER + "".join(f"l{i}.png,{i}\n" for i in range(10)))
    return dict(images=folder / "images", table=folder / "t.csv", out=folder / "out")

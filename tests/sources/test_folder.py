"""hwrlib.sources.folder: a folder of images and a table."""

import pytest
from PIL import Image

from hwrlib.sets.labels import SPLITS, read_labels, split_groups
from hwrlib.sources import (
    prepare_folder,
)
from tests.sources.examples import HEADER, IMAGE, image_bytes, make_folder, make_zip, nested_set, own_set


def test_folder_is_split_by_fraction_and_reproducibly(tmp_path):
    own = own_set(tmp_path)
    reports = [prepare_folder(**own, out=tmp_path / name, seed=seed) for name, seed in [("a", 1), ("b", 1), ("c", 2)]]
    assert [reports[0].splits[split].kept for split in ("table", *SPLITS)] == [60, 48, 6, 6]
    tables = [(tmp_path / name / "test.csv").read_bytes() for name in "abc"]
    assert tables[0] == tables[1] != tables[2]
    for split in SPLITS:  # every text is still with its own image
        for name, text in read_labels(tmp_path / "a" / f"{split}.csv").values:
            with Image.open(tmp_path / "a" / split / name) as image:
                assert f"été {image.getpixel((0, 0))}" == text


def test_folder_never_splits_a_group(tmp_path):
    prepare_folder(**own_set(tmp_path), out=tmp_path / "out", group_column="main", validation=0.2, test=0.2)
    writer = {f"été {i}": int(i**0.6) for i in range(60)}
    texts = [read_labels(tmp_path / "out" / f"{split}.csv")["IDENTITY"] for split in SPLITS]
    groups = [{writer[text] for text in split} for split in texts]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert sum(map(len, texts)) == 60 and all(abs(len(t) - n) <= 3 for t, n in zip(texts, (36, 12, 12)))


def test_folder_can_be_grouped_by_its_texts(tmp_path):
    images = make_folder(tmp_path / "images", {f"{i}.jpg": IMAGE for i in range(30)})
    (tmp_path / "t.csv").write_text(HEADER + "".join(f"{i}.jpg,text {i % 6}\n" for i in range(30)))
    prepare_folder(images, tmp_path / "t.csv", tmp_path / "out", group_column="IDENTITY")
    texts = [set(read_labels(tmp_path / "out" / f"{split}.csv")["IDENTITY"]) for split in SPLITS]
    assert sum(map(len, texts)) == len(set.union(*texts)) == 6


def test_groups_too_few_or_just_enough(tmp_path):
    own = own_set(tmp_path, 8)  # writers 0 to 3
    assert prepare_folder(**own, out=tmp_path / "a", group_column="main").splits["test"].kept > 0
    splits = split_groups(["a"] * 9 + ["b"] * 9 + ["c"] * 9, validation=0.1, test=0.1, seed=0)
    assert set(splits) == set(SPLITS)
    with pytest.raises(ValueError, match="2 groups cannot fill 3 splits"):
        split_groups(["a", "b", "a", "b"], validation=0.1, test=0.1, seed=0)
    with pytest.raises(ValueError, match="sum to less than 1"):
        split_groups([1, 2, 3], validation=0.5, test=0.5, seed=0)


def test_folder_names_in_subfolders_alike_and_escaping(tmp_path):
    names = ["a.jpg", "A.jpg", "s/c.jpg", "s/b.PNG", "d.jpg"]
    images = make_folder(tmp_path / "images", {name: IMAGE for name in names})
    make_folder(tmp_path, {"secret.jpg": IMAGE})
    rows = ["a.jpg,1", "A.jpg,2", "s/c.jpg,3", "./s/b.PNG,4", "d.jpg,5", "../secret.jpg,6", f"{tmp_path}/secret.jpg,7"]
    (tmp_path / "t.csv").write_text(HEADER + "\n".join(rows))
    report = prepare_folder(images, tmp_path / "t.csv", tmp_path / "out")
    assert report.splits["table"].left_out == {"unsafe file name": 2, "duplicate file name": 1}
    written = {name: text for split in SPLITS for name, text in read_labels(tmp_path / f"out/{split}.csv").values}
    assert written == {"a.jpg": "1", "s/c.jpg": "3", "s/b.PNG": "4", "d.jpg": "5"}
    files = [path for split in SPLITS for path in (tmp_path / "out" / split).rglob("*") if path.is_file()]
    assert len(files) == 4


def test_folder_keeps_every_column(tmp_path):
    """Also those whose names the layout and its code use, such as another IDENTITY, FILE and GROUP."""
    images = make_folder(tmp_path / "images", {f"{i}.png": image_bytes("PNG", i) for i in range(30)})
    lines = [f"old {i};{i}.png;file {i};{i % 7};text {i};{i * i}\n" for i in range(30)]
    (tmp_path / "t.csv").write_text("IDENTITY;scan;FILE;GROUP;text;OTHER_IDENTITY\n" + "".join(lines))
    columns = {"filename_column": "scan", "text_column": "text", "group_column": "IDENTITY"}
    prepare_folder(images, tmp_path / "t.csv", tmp_path / "out", **columns)
    seen = []
    for split in SPLITS:
        header, *rows = (tmp_path / "out" / f"{split}.csv").read_text().splitlines()
        assert header == "FILENAME,IDENTITY,OTHER_IDENTITY,FILE,GROUP,OTHER_OTHER_IDENTITY"
        for row in rows:
            i = int(row.split(".png")[0])
            assert row == f"{i}.png,text {i},old {i},file {i},{i % 7},{i * i}"
            seen.append(i)
    assert sorted(seen) == list(range(30))


def test_bare_names_of_images_in_subfolders(tmp_path):
    own = nested_set(tmp_path)
    with pytest.raises(ValueError, match="t.csv: 10 of 10 images are not in .*images itself .*'page 0/l0.png'; use --recur"):
        prepare_folder(**own)
    assert not (tmp_path / "out").exists()
    report = prepare_folder(**own, recursive=True)
    assert (report.splits["table"].kept, report.splits["table"].without_row) == (10, 0)
    texts = []
    for split in SPLITS:
        for name, text in read_labels(tmp_path / "out" / f"{split}.csv").values:
            texts.append(text)
            with Image.open(tmp_path / "out" / split / name) as image:
                assert name == f"l{text}.png" and image.getpixel((0, 0)) == int(text)
    assert sorted(texts) == [str(i) for i in range(10)]


def test_ambiguous_bare_names_are_refused_with_both_paths(tmp_path):
    own = nested_set(tmp_path)
    make_folder(tmp_path / "images", {"page 1/l4.png": IMAGE, "l6.png": IMAGE, "page 1/unnamed.png": IMAGE})
    with pytest.raises(ValueError, match="t.csv: 'l4.png' could be 'page 0/l4.png' or 'page 1/l4.png' in .*2 names are"):
        prepare_folder(**own, recursive=True)
    with open(tmp_path / "t.csv", "a") as table:  # a row that says which it is leaves only one for the bare name
        table.write("page 1/l4.png,10\n./page 0/l6.png,11\n")
    report = prepare_folder(**own, recursive=True)
    assert (report.splits["table"].kept, report.splits["table"].without_row) == (12, 1)
    image_of = {
        text: tmp_path / "out" / split / name
        for split in SPLITS
        for name, text in read_labels(tmp_path / "out" / f"{split}.csv").values
    }
    assert image_of["6"].read_bytes() == image_of["10"].read_bytes() == IMAGE
    assert image_of["4"].read_bytes() == image_bytes("PNG", 4) and image_of["11"].read_bytes() == image_bytes("PNG", 6)


def test_a_folder_may_be_a_zip(tmp_path):
    images = make_zip(tmp_path / "i.zip", {f"scans/{i}.jpg": IMAGE for i in range(9)})
    (tmp_path / "t.csv").write_text(HEADER + "".join(f"{i}.jpg,{i}\n" for i in range(9)))
    assert prepare_folder(images, tmp_path / "t.csv", tmp_path / "out", recursive=True).splits["table"].kept == 9

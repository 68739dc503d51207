"""What the README promises: its code runs, and what it names exists."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from hwrlib import ROOT
from hwrlib.synthetic import generate
from hwrlib.synthetic.pages import render_page
from hwrlib.weights import SHIPPED

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ["README.md", "benchmarks/README.md", "tests/robustness/README.md", "data/README.md", "runs/README.md"]


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language ("" for none)."""
    return [
        code for found, code in re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL) if found == language
    ]


@pytest.fixture
def scans(tmp_path) -> Path:
    """A folder with `scan.png`, `scans/` and `letter.jpg`, rendered handwriting where the quick start looks for it."""
    cv2.imwrite(str(tmp_path / "letter.jpg"), render_page(0, columns=1, rows=2).image)
    generate(tmp_path / "set", train=1, validation=1, test=3, seed=1)
    images = sorted((tmp_path / "set" / "test").iterdir())
    cv2.imwrite(str(tmp_path / "scan.png"), cv2.imread(str(images[0])))
    (tmp_path / "set" / "test").rename(tmp_path / "scans")
    return tmp_path


def test_the_quick_start_runs(scans):
    (code,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=scans,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    label = (scans / "set" / "test.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[1]
    text, confidence = done.stdout.splitlines()[0].rsplit(" ", 1)
    assert text == label and 0.5 < float(confidence) <= 1
    assert done.stdout.splitlines()[1].startswith(f"Character(text={label[0]!r}")
    table = (scans / "texts.csv").read_text(encoding="utf-8").splitlines()
    assert table[0] == "filename,text,confidence" and len(table) == 4


def test_it_is_short():
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    folder, text = (ROOT / page).parent, (ROOT / page).read_text(encoding="utf-8")
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert [target for target in targets if target and not (folder / target).exists()] == []


NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def test_every_notebook_is_in_the_table():
    assert re.findall(r"\]\(notebooks/(\d\d_\w+\.ipynb)\)", README) == NOTEBOOKS
    first = "".join(lessons(NOTEBOOKS[0]))
    assert re.findall(r"^\| \[[^]]+\]\((\d\d_\w+\.ipynb)\)", first, re.MULTILINE) == NOTEBOOKS[1:]


@pytest.mark.parametrize("number, name", enumerate(NOTEBOOKS))
def test_notebooks_lead_to_each_other(number, name):
    text = lessons(name)
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", "".join(text)) if "://" not in target]
    assert [target for target in targets if not (ROOT / "notebooks" / target).exists()] == []
    expected = [other for other in (number - 1, number + 1) if 0 <= other < len(NOTEBOOKS)]
    (around,) = re.findall(r"^(?:Back: |Next: ).*$", text[-1], re.MULTILINE)
    assert re.findall(r"\]\((\w+\.ipynb)\)", around) == [NOTEBOOKS[other] for other in expected]


def lessons(notebook: str) -> list[str]:
    """The text of its Markdown cells."""
    cells = json.loads((ROOT / "notebooks" / notebook).read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


def test_papermill_commands_name_parameters_that_exist():
    commands = [shlex.split(line) for block in blocks("") for line in block.splitlines() if line.startswith("papermill")]
    assert commands
    for _, notebook, _, *options in commands:
        cells = json.loads((ROOT / notebook).read_text(encoding="utf-8"))["cells"]
        (cell,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
        known = re.findall(r"^(\w+):", "".join(cell["source"]), re.MULTILINE)
        names = [name for option, name in zip(options, options[1:]) if option == "-p"]
        assert names and set(names) <= set(known)


def test_make_targets_and_recipes_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"run", "test"} <= set(re.findall(r"make ([a-z]+)", README.replace("make and", ""))) <= {*targets}
    recipes = {path.name for folder in ("params", "sweeps") for path in (ROOT / "notebooks" / folder).iterdir()}
    assert set(re.findall(r"(\w+\.yaml)", README.replace("environment.yml", ""))) <= recipes
    assert set(re.findall(r"hwrlib/weights/(\w+)\.md", README)) == {*SHIPPED, "pages"}


def test_the_files_of_the_lesson_hold_what_the_table_says():
    rows = re.findall(r"^\| `(\w+)\.py` \| (.+) \|$", README, re.MULTILINE)
    assert len(rows) == 10
    for name, holds in rows:
        source = (ROOT / "hwrlib" / f"{name}.py").read_text(encoding="utf-8")
        for code in re.findall(r"`([\w.]+)(?:/\w+)?`", holds):
            last = code.split(".")[-1]
            assert re.search(rf"^\s*(def|class) {last}\b", source, re.MULTILINE), f"{name}.py has no {code}"

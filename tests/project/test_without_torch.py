"""Reading needs the base installation only: every command and call that reads works where no extra is installed.

The tests run where everything is installed. Child processes get a `sitecustomize` that hides what only extras install:
what `pyproject.toml` lists there, and what that needs in turn.
"""

import ast
import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import cv2
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hwrlib import ROOT, Recognizer
from hwrlib.synthetic.pages import render_page

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read pyproject.toml")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
BASE, EXTRAS = PROJECT["dependencies"], PROJECT["optional-dependencies"]
READING = ("batch.pages", "batch.read", "language", "models.recognizer", "onnx.runtime", "pages.figures", "plots")
IMAGES = ROOT / "notebooks" / "images" / "names"
MAX_BYTES = 500_000_000

CALLS = """
import json, sys
from hwrlib import Recognizer, plots
from hwrlib.language import Lexicon
from hwrlib.pages import load_page

line, image, out = sys.argv[1:]
names, lines = Recognizer.pretrained("names"), Recognizer.pretrained("lines")
page = lines.read_page(image)
for suffix in (".txt", ".alto.xml", ".page.xml", ".hocr"):
    page.save(f"{out}/page{suffix}")
page.plot().savefig(f"{out}/page.png")
known = [lines.read_page(image, lines=load_page(f"{out}/page{suffix}")[0].lines) for suffix in (".alto.xml", ".page.xml")]
result = {
    "line": names.read(line).text,
    "greedy": names.read(line, language=None).text,
    "known value": names.read(line, language=Lexicon(["WINNER", "DINNER"])).text,
    "page": page.text,
    "known lines": [len(each.lines) for each in known],
    "errors": list(map(str, names.read_to_csv([line], f"{out}/texts.csv"))),
}
print(json.dumps(result))
"""


# The lists of dependencies -------------------------------------------------------------------------------------------


def distributions(requirements: Iterable[str]) -> set[str]:
    """The distributions that requirements name."""
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def needed(requirements: Iterable[str]) -> set[str]:
    """The installed distributions that requirements lead to, directly or through others; not the project itself."""
    found: set[str] = set()
    left = list(map(Requirement, requirements))
    while left:
        each = left.pop()
        name = canonicalize_name(each.name)
        if name == PROJECT["name"]:  # an extra that includes another
            left += [Requirement(text) for extra in each.extras for text in EXTRAS[extra]]
        elif name not in found and is_installed(name):
            found.add(name)
            further = map(Requirement, metadata.requires(name) or [])
            left += [one for one in further if applies(one, each.extras)]
    return found


def is_installed(name: str) -> bool:
    try:
        return bool(metadata.distribution(name).metadata)
    except metadata.PackageNotFoundError:
        return False


def applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    """Whether a requirement holds on this system, for a distribution that was asked for with these extras."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


@cache
def owners() -> dict[str, set[str]]:
    """The distributions that install each module."""
    return {module: set(map(canonicalize_name, names)) for module, names in metadata.packages_distributions().items()}


def hidden() -> set[str]:
    """The modules that an installation without extras lacks."""
    base = needed(BASE)
    extra = needed(text for texts in EXTRAS.values() for text in texts) - base
    return {module for module, names in owners().items() if names & extra and not names & base and module.isidentifier()}


def libraries_of(names: Iterable[str]) -> set[str]:
    """The libraries that modules of the package import at their top, directly or through others."""
    seen: set[str] = set()
    left = [f"hwrlib.{name}" for name in names]
    while left:
        if (name := left.pop()) not in seen:
            seen.add(name)
            left += imported_at_top(name) if name.startswith("hwrlib") else ()
    first = {name.partition(".")[0] for name in seen}
    return first - {"hwrlib", *sys.stdlib_module_names}


def imported_at_top(name: str) -> Iterator[str]:
    path = ROOT.joinpath(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if "." in name:
        yield name.rpartition(".")[0]  # importing a.b runs a/__init__.py
    for node in ast.parse(path.read_text("utf-8")).body if path.is_file() else ():  # not a function in a module
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names)


def test_what_only_extras_install_is_hidden():
    lost, train = hidden(), distributions(EXTRAS["train"])
    assert {name for name in train if is_installed(name)} <= set().union(*(owners()[module] for module in lost))
    assert "torch" in lost and not lost & {"numpy", "cv2", "PIL", "onnxruntime", "joblib", "hwrlib"}


def test_the_base_is_what_reading_imports():
    libraries, base = libraries_of(READING), distributions(BASE)
    missing = {name for name in libraries if not owners().get(name, set()) & base}
    assert not missing, f"reading imports what is not in the base: {missing}"
    unused = base - set().union(*(owners()[name] for name in libraries))
    assert not unused, f"reading does not import {unused}, which belong to an extra"


def test_the_course_includes_training():
    train = needed(EXTRAS["train"])
    assert needed(EXTRAS["course"]) >= train >= {"torch", "onnx", "pandas"}
    assert not distributions(EXTRAS["train"]) & distributions(BASE)


def test_the_base_takes_at_most_500_megabytes():
    sizes = {}
    for name in needed(BASE):
        paths = [Path(file.locate()) for file in metadata.files(name) or ()]
        sizes[name] = sum(path.stat().st_size for path in paths if path.is_file())
    sizes["hwrlib"] = sum(path.stat().st_size for path in (ROOT / "hwrlib").rglob("*") if path.is_file())
    assert sum(sizes.values()) <= MAX_BYTES, sorted(sizes.items(), key=lambda item: -item[1])


# Reading -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run_without_extras(tmp_path_factory) -> Callable[..., subprocess.CompletedProcess]:
    """Run Python with arguments, in a folder, where no extra is installed."""
    folder = tmp_path_factory.mktemp("hidden")
    hide = f"import sys\nsys.modules.update(dict.fromkeys({sorted(hidden())}))\n"  # None: the import fails
    (folder / "sitecustomize.py").write_text(hide)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "OMP_NUM_THREADS": "1"}

    def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=300)

    return run


@pytest.fixture(scope="module")
def page_image(tmp_path_factory) -> Path:
    """An image of a rendered page."""
    path = tmp_path_factory.mktemp("pages") / "page.png"
    cv2.imwrite(str(path), render_page(3, columns=1, rows=4, skew=0).image)
    return path


def test_lines_and_pages_are_read(run_without_extras, page_image, tmp_path):
    done = run_without_extras("-c", CALLS, IMAGES / "winner.png", page_image, tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    page = Recognizer.pretrained("lines").read_page(page_image)
    assert result["page"] == page.text and result["known lines"] == [len(page.lines)] * 2 and len(page.lines) >= 4
    assert [result[key] for key in ("line", "greedy", "known value")] == ["WINNER"] * 3 and not result["errors"]
    assert "WINNER" in (tmp_path / "texts.csv").read_text("utf-8")
    assert sorted(path.suffix for path in tmp_path.glob("page.*")) == [".hocr", ".png", ".txt", ".xml", ".xml"]


@pytest.mark.parametrize(("source", "jobs"), [(IMAGES, 2), ("list.csv", 1)])
def test_a_folder_and_a_list_become_a_table(run_without_extras, source, jobs, tmp_path):
    images = sorted(IMAGES.glob("*.png"))
    (tmp_path / "list.csv").write_text("\n".join(["filename", *map(str, images)]), encoding="utf-8")
    done = run_without_extras("-m", "hwrlib.batch.read", source, "--out", "texts.csv", "--jobs", jobs, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "texts.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["filename"]).name for row in rows] == [path.name for path in images]
    assert {row["text"] for row in rows} >= {"WINNER", "LEYLA"}


def test_pages_become_documents(run_without_extras, page_image, tmp_path):
    command = ("-m", "hwrlib.batch.read", page_image.parent, "--out", "documents", "--pages", "alto")
    done = run_without_extras(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "<alto" in (tmp_path / "documents" / "page.alto.xml").read_text("utf-8")


# What is missing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ("pretrained('lines', device='cuda')", r"lines\.onnx: device='cuda' \(instead of .*\) needs torch, onnx"),
        ("from_checkpoint('run/best_model.pth')", r"best_model\.pth: a PyTorch checkpoint needs torch"),
        ("load('run/best_model.pth', device='cpu')", r"best_model\.pth: a PyTorch checkpoint needs torch"),
        ("latest('.')", r"best_model\.pth: a PyTorch checkpoint needs torch"),
    ],
)
def test_what_torch_reads_names_the_extra(run_without_extras, call, what, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best_model.pth").touch()
    done = run_without_extras("-c", f"from hwrlib import Recognizer; Recognizer.{call}", cwd=tmp_path)
    assert re.fullmatch(rf".*MissingExtra: .*{what}: pip install 'hwrlib\[train\]'", done.stderr.splitlines()[-1])


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("batch.read . --out texts.csv --model best_model.pth", "train"),
        ("batch.read . --out texts.csv --cluster tcp://127.0.0.1:1", "cluster"),
        ("batch.sweep sweep.yaml", "course"),
        ("models.export names names.onnx", "train"),
        ("runs.blend run", "train"),
        ("runs.fit -f recipe.yaml", "train"),
        ("runs.language names --data data", "train"),
        ("runs.pages pages --out pages.pth", "train"),
        ("sources folder images table.csv --out data", "train"),
        ("sources.splices data", "train"),
        ("synthetic --out data", "train"),
    ],
)
def test_commands_name_the_extra_in_one_line(run_without_extras, command, extra, tmp_path):
    (tmp_path / "best_model.pth").touch()
    (tmp_path / "line.png").write_bytes((IMAGES / "winner.png").read_bytes())
    done = run_without_extras("-m", *f"hwrlib.{command}".split(), cwd=tmp_path)
    message = rf"error: .* needs .*: pip install 'hwrlib\[{extra}\]'\n"
    assert done.returncode == 2 and re.fullmatch(message, done.stderr), done.stderr
    assert not (tmp_path / "texts.csv").exists() and not (tmp_path / "data").exists()

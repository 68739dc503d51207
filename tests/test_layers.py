"""The layers of the package: ten files that import nothing else of it; folders that import from their level or below."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from hwrlib import ROOT

PACKAGE = ROOT / "hwrlib"
CORE = (
    "charset",
    "decode",
    "images",
    "collate",
    "model",
    "ctc",
    "metrics",
    "augment",
    "reader",
    "train",
)
LEVELS = {
    1: ("common", "onnx", "weights"),
    2: ("sets", "language", "pages", "synthetic"),
    3: ("models", "plots"),
    4: ("runs", "sources", "live", "audit"),
    5: ("batch",),
}
LEVEL = {folder: level for level, folders in LEVELS.items() for folder in folders} | dict.fromkeys(CORE, 0)
# Libraries that may be imported in a function: each costs a second or hundreds of MB, or is in an extra.
HEAVY = {"torch", "torchvision", "accelerate", "onnx", "onnxruntime", "matplotlib", "tensorboard", "distributed", "pandas"}
HEAVY |= {"pyarrow", "wordfreq", "anywidget", "joblib", "IPython"}
MAX_CORE_LINES = 1650
MAX_TRAIN_LINES = 120


class Import(NamedTuple):
    """One import of one name, wherever it stands: at the top, for typing, or in a function."""

    file: str  # `hwrlib.pages.read`
    target: str  # the module it loads, `hwrlib.images`; of another package its first name, `torch`
    line: int
    kind: str  # "top", "typing" or "function"

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.target} ({self.kind})"


@cache
def modules() -> dict[str, Path]:
    """Every module of the package and its file; a folder is its `__init__.py`."""
    found = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in found.items()}


@cache
def imports() -> list[Import]:
    """All imports of all modules."""
    return [found for name, path in modules().items() for found in _imports_of(name, ast.parse(path.read_text("utf-8")))]


def _imports_of(name: str, node: ast.AST, kind: str = "top") -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inner = kind
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            inner = "function"
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            inner = "typing"
        if isinstance(child, ast.Import):
            yield from (Import(name, _loaded(each.name), child.lineno, kind) for each in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, f"{name}:{child.lineno}: a relative import; write hwrlib...."
            yield from (Import(name, _loaded(f"{child.module}.{each.name}"), child.lineno, kind) for each in child.names)
        yield from _imports_of(name, child, inner)


def _loaded(dotted: str) -> str:
    """The module that an import of this name loads."""
    if not dotted.startswith("hwrlib"):
        return dotted.partition(".")[0]
    while dotted not in modules():
        dotted = dotted.rpartition(".")[0]
    return dotted


def own_imports() -> list[Import]:
    """The imports of the package's modules by each other; not of `hwrlib` itself, which holds ROOT and the lazy door."""
    return [each for each in imports() if each.target.startswith("hwrlib.") and each.file != "hwrlib"]


def part_of(module: str) -> str:
    """The file or the folder of `hwrlib/` that holds a module."""
    return module.split(".")[1]


def test_every_file_and_folder_has_its_level():
    assert {part_of(name) for name in modules() if name != "hwrlib"} == set(LEVEL)
    assert {path.stem for path in PACKAGE.glob("*.py")} == {"__init__", *CORE}


def test_the_ten_files_import_only_each_other_and_only_the_ones_before():
    order = {f"hwrlib.{name}": place for place, name in enumerate(CORE)}
    wrong = [each for each in own_imports() if each.file in order and order.get(each.target, 99) >= order[each.file]]
    assert not wrong, "\n".join(map(str, wrong))


def test_nothing_imports_from_a_level_above():
    wrong = [each for each in own_imports() if LEVEL[part_of(each.target)] > LEVEL[part_of(each.file)]]
    assert not wrong, "\n".join(map(str, wrong))


def test_the_package_itself_imports_nothing_until_it_is_asked():
    doors = [each for each in imports() if each.file == "hwrlib" and each.target.startswith("hwrlib")]
    assert {each.kind for each in doors} == {"function"}
    assert {each.target for each in doors} == {"hwrlib.models.recognizer", "hwrlib.reader"}


def test_there_is_no_circle_of_any_kind():
    targets: dict[str, set[str]] = {name: set() for name in modules()}
    for each in own_imports():
        if each.target != each.file and not each.file.startswith(f"{each.target}."):  # of a folder
            targets[each.file].add(each.target)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, "a circle: " + " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in sorted(targets[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in targets:
        visit(name, ())


def test_imports_in_functions_are_of_what_is_heavy():
    """Of a heavy library, or of a module that imports one at its top, itself or by others."""
    at_top: dict[str, set[str]] = {name: set() for name in modules()}
    for each in imports():
        if each.kind == "top":
            at_top[each.file].add(each.target)

    @cache
    def is_heavy(name: str) -> bool:
        return name in HEAVY or any(map(is_heavy, at_top.get(name, ())))

    wrong = [each for each in imports() if each.kind == "function" and each.file != "hwrlib" and not is_heavy(each.target)]
    assert not wrong, "\n".join(map(str, wrong))


def lines_of(module: str) -> int:
    return len(modules()[module].read_text("utf-8").splitlines())


def test_the_lesson_stays_small():
    total = sum(lines_of(f"hwrlib.{name}") for name in CORE)
    assert total <= MAX_CORE_LINES, f"the ten files have {total} lines; move what is not the lesson to a folder"
    assert lines_of("hwrlib.train") <= MAX_TRAIN_LINES


@pytest.mark.parametrize("module", ["hwrlib.reader", "hwrlib.models.recognizer", "hwrlib.language", "hwrlib.pages"])
def test_reading_needs_no_torch(module):
    """No chain of imports at the top of a file leads from reading to PyTorch."""
    at_top: dict[str, set[str]] = {}
    for each in imports():
        if each.kind == "top":
            at_top.setdefault(each.file, set()).add(each.target)
    seen, left = set(), [module]
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        left += at_top.get(name, ())
        left += [name.rpartition(".")[0]] if name.startswith("hwrlib.") else []  # importing a.b runs a/__init__.py
    assert not seen & {"torch", "torchvision", "accelerate", "onnx", "tensorboard", "matplotlib"}

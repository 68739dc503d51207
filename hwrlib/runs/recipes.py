"""Recipes: YAML files of `name: value` lines, read without what YAML guesses."""

import re
import reprlib
from pathlib import Path
from typing import Any

import yaml

MAX_RECIPE = 1_000_000  # bytes


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The `name: value` lines of a YAML file.

    Raises:
        FileNotFoundError, ValueError: as `load_yaml`; a value is a list or a mapping.
    """
    values = load_yaml(path)
    for name, value in values.items():
        if isinstance(value, (dict, list, set, tuple)):
            raise ValueError(f"{path}: {reprlib.repr(name)}: the file must hold `name: value` lines, with one value each")
    return values


def load_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file whose names are texts; its values may be nested.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else; the message names it.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: this is a folder; name a YAML file")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such recipe; those of the course are in notebooks/params/")
    if path.stat().st_size > MAX_RECIPE:
        raise ValueError(f"{path}: {path.stat().st_size:,} bytes are no recipe; the file must hold `name: value` lines")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _RecipeLoader) or {}
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply; the file must hold `name: value` lines") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: the file must hold `name: value` lines")
    for name in values:
        if not isinstance(name, str):
            raise ValueError(f"{path}: {reprlib.repr(name)}: the file must hold `name: value` lines, with one value each")
    return values


class _RecipeLoader(yaml.SafeLoader):
    """YAML without what it guesses (`1:30` is 90, `010` is 8), without dates, and without a name that occurs twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} occurs twice", key.start_mark)
            if isinstance(key.value, str):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


GUESSED = ("int", "float", "timestamp")  # kinds of value that YAML 1.1 sees where nobody means them
_RecipeLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag.rsplit(":")[-1] not in GUESSED]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_RecipeLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789"))
_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"),
    list("-+.0123456789"),
)

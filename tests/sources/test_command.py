"""python -m hwrlib.sources."""

import subprocess
import sys

from hwrlib import ROOT
from hwrlib.sources.__main__ import main
from tests.sources.examples import kaggle_files, make_zip, nested_set, own_set


def test_command_line(tmp_path, capsys):
    own_set(tmp_path)
    arguments = ["folder", str(tmp_path / "images"), str(tmp_path / "t.csv"), "--out", str(tmp_path / "out")]
    columns = ["--filename-column", "scan", "--text-column", "texte", "--group-column", "main"]
    assert main([*arguments, *columns]) == 0
    assert "rows read" in capsys.readouterr().out
    assert main([*arguments, *columns]) == 0  # a second time: nothing to do
    assert "already prepared" in capsys.readouterr().out
    with open(tmp_path / "t.csv", "a") as table:
        table.write("\n")
    assert main([*arguments, *columns]) == 2  # the table has changed since
    assert "another source or with other options" in capsys.readouterr().err
    assert main([*arguments, "--text-column", "text", "--overwrite"]) == 2
    error = capsys.readouterr().err
    assert "no column 'FILENAME'; the columns there are 'scan', 'texte', 'main'" in error and "Traceback" not in error
    assert main(["kaggle", str(tmp_path / "none.zip"), "--out", str(tmp_path / "x")]) == 2


def test_command_line_recursive(tmp_path, capsys):
    own = {name: str(path) for name, path in nested_set(tmp_path).items()}
    arguments = ["folder", own["images"], own["table"], "--out", own["out"]]
    assert main(arguments) == 2 and "use --recursive" in capsys.readouterr().err
    assert main([*arguments, "--recursive"]) == 0 and "= rows kept" in capsys.readouterr().out


def test_preparing_needs_no_torch(tmp_path):
    make_zip(tmp_path / "k.zip", kaggle_files())
    code = (
        "import sys\nfrom hwrlib.sources.__main__ import main\n"
        "assert main(['kaggle', sys.argv[1], '--out', sys.argv[2]]) == 0\nsys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "k.zip", tmp_path / "out"], check=True, cwd=ROOT)

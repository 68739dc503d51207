"""hwrlib.runs.state: what a training may be resumed from."""

import shutil

import pytest

from hwrlib.models.checkpoint import load_model
from hwrlib.runs.fit import fit


def test_a_model_is_no_state_to_resume_from_and_the_other_way_round(run, tiny, tmp_path):
    with pytest.raises(ValueError, match=r"resume.pth: its parts do not fit"):
        load_model(run.folder / "resume.pth")
    (tmp_path / "run").mkdir()
    shutil.copy(run.folder / "best_model.pth", tmp_path / "run" / "resume.pth")
    with pytest.raises(ValueError, match="this run was started differently"):
        fit(tiny(), tmp_path / "run", resume=True)

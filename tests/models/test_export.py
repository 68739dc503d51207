"""hwrlib.models.export: an exported model computes the same, takes less space, and can be trained further."""

import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from hwrlib.charset import Charset
from hwrlib.images import Normalisation
from hwrlib.language import Calibration, CharacterModel, Decoder
from hwrlib.model import CRNN
from hwrlib.models import export
from hwrlib.models.checkpoint import load_model
from hwrlib.models.export import to_onnx
from hwrlib.models.recognizer import Recognizer
from hwrlib.onnx.runtime import OnnxModel
from hwrlib.runs.fit import fit
from tests.models.examples import export_tiny

CHARSET = Charset("AELNOZ")  # of the tiny recogniser


NORMALISATION = Normalisation(height=16, max_width=96, min_width=32)


@pytest.fixture(scope="module")
def quantised(recognizer, tmp_path_factory):
    """The same with weights in 8 bits."""
    return export_tiny(recognizer, tmp_path_factory.mktemp("onnx") / "small.onnx", 8)


def randomised(model: CRNN) -> CRNN:
    """Batch statistics like those of a trained model; with the initial ones, an error in folding them would not show."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3), module.running_var.uniform_(0.5, 2.0)
            torch.nn.init.normal_(module.weight, 1.0, 0.2), torch.nn.init.normal_(module.bias, std=0.2)
    return model.eval()


@pytest.mark.parametrize(
    "architecture, sizes",
    [("residual", dict(width=8, hidden=12)), ("residual", dict(width=8, depth=2, hidden=12)), ("baseline", {})],
)
def test_frames_equal_those_of_torch_for_all_widths(architecture, sizes, tmp_path):
    torch.manual_seed(0)
    model = randomised(CRNN(5, architecture=architecture, **sizes))
    normalisation = Normalisation(height=64) if architecture == "baseline" else NORMALISATION  # its only height
    exported = OnnxModel(to_onnx(model, Charset("ABCD"), normalisation, tmp_path / "model.onnx"))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (3, 1, normalisation.height, 96)).astype(np.uint8)
    widths = np.array([96, 40, 64])
    with torch.inference_mode():
        expected = model(torch.from_numpy(images), torch.from_numpy(widths)).log_probs.numpy()
    found = exported.infer(images, widths)
    assert exported.stride == model.stride and found.shape == expected.shape
    for n, frames in enumerate(widths // model.stride):
        assert found[:frames, n] == pytest.approx(expected[:frames, n], abs=0.01)


def test_it_reads_the_same_texts_at_the_same_positions(recognizer, exported, drawn_set):
    paths = sorted((drawn_set / "test").iterdir())
    fast = Recognizer.from_checkpoint(exported)
    assert (fast.charset, fast.normalisation) == (recognizer.charset, recognizer.normalisation)
    assert fast.metrics == recognizer.metrics and fast.config == recognizer.config
    for slow, quick in zip(recognizer.read(paths, language=None), fast.read(paths, language=None)):
        assert quick.text == slow.text and quick.confidence == pytest.approx(slow.confidence, abs=0.02)
        assert [c.start for c in quick.characters] == pytest.approx([c.start for c in slow.characters])


def test_weights_take_half_the_space_or_a_quarter(recognizer, exported, quantised):
    weights = sum(p.numel() for p in recognizer.model.parameters())
    for file, size in ((exported, 2), (quantised, 1)):
        assert size * weights < file.stat().st_size < size * weights + 40_000


def test_weights_in_8_bits_read_the_same(recognizer, quantised, drawn_set):
    paths = sorted((drawn_set / "test").iterdir())
    for path in (quantised, exported_again(quantised)):
        small = Recognizer.from_checkpoint(path)
        for one, other in zip(recognizer.read(paths, language=None), small.read(paths, language=None)):
            assert one.text == other.text and one.confidence == pytest.approx(other.confidence, abs=0.05)


def exported_again(path: Path) -> Path:
    """The same file, exported from its own weights."""
    again = export_tiny(Recognizer.from_checkpoint(path, device="cpu"), path.with_name("again.onnx"), 8)
    assert again.read_bytes() == path.read_bytes()  # rounding what was rounded changes nothing
    return again


def test_fewer_bits_make_a_smaller_archive_of_a_file_that_is_as_large(recognizer, quantised, tmp_path):
    rough = export_tiny(recognizer, tmp_path / "rough.onnx", 5)
    assert rough.stat().st_size == quantised.stat().st_size
    assert len(zlib.compress(rough.read_bytes())) < 0.8 * len(zlib.compress(quantised.read_bytes()))
    ours, theirs = (load_model(path)[0].state_dict()["rnn.forwards.1.weight_hh_l0"] for path in (rough, quantised))
    steps = theirs.abs().amax(1, keepdim=True) / 15  # of 5 bits
    assert 0 < ((ours - theirs).abs() / steps).max() <= 0.6


def test_bits_that_no_byte_holds_are_refused(recognizer, tmp_path):
    with pytest.raises(ValueError, match="bits must be 2, 3, 4, 5, 6, 7, 8 or 16, not 9"):
        export_tiny(recognizer, tmp_path / "model.onnx", 9)
    assert list(tmp_path.iterdir()) == []


def test_an_exported_model_is_a_checkpoint(recognizer, exported):
    model, charset, normalisation, about = load_model(exported)
    assert (charset, normalisation) == (recognizer.charset, recognizer.normalisation)
    assert about == {"config": recognizer.config, "metrics": recognizer.metrics}
    expected = recognizer.model.state_dict()
    assert model.state_dict().keys() == expected.keys()
    for name, value in model.state_dict().items():
        assert value.dtype == expected[name].dtype
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-6)


def test_torch_reads_an_exported_model_where_it_is_told_to(recognizer, exported, drawn_set):
    path = next((drawn_set / "test").iterdir())
    slow = Recognizer.from_checkpoint(exported, device="cpu")
    assert isinstance(slow.model, CRNN)
    assert slow.read(path, language=None).text == recognizer.read(path, language=None).text


def test_a_training_starts_from_an_exported_model(tiny, exported, recognizer, tmp_path):
    fit(tiny(start_from=str(exported), epochs=1, train_limit=8, learning_rate=1e-9, ema=0.0), tmp_path / "run")
    model, *_ = load_model(tmp_path / "run" / "best_model.pth")
    torch.testing.assert_close(model.classifier.weight, recognizer.model.classifier.weight, rtol=1e-2, atol=1e-3)


def test_the_command_writes_a_file_that_reads(run, tmp_path, monkeypatch, capsys, draw):
    monkeypatch.setattr(sys, "argv", ["export", str(run.folder), str(tmp_path / "words.onnx")])
    export.main()
    assert "words.onnx" in capsys.readouterr().out
    assert Recognizer.from_checkpoint(tmp_path / "words.onnx").read(draw("ZOE")).text == "ZOE"


def test_the_command_takes_the_language_along(run, tmp_path, monkeypatch, drawn_set):
    source = shutil.copytree(run.folder, tmp_path / "run")
    language = CharacterModel.fit(["LEO ANNE", "ZE"], charset=CHARSET)
    Decoder(language, weight=0.5, of_texts=Calibration(1.5, -0.2)).save(source / "best_model.lm")
    monkeypatch.setattr(sys, "argv", ["export", str(source), str(tmp_path / "words.onnx")])
    export.main()
    assert (tmp_path / "words.lm").read_bytes() == (source / "best_model.lm").read_bytes()
    slow = Recognizer.from_checkpoint(source / "best_model.pth", device="cpu")
    fast = Recognizer.from_checkpoint(tmp_path / "words.onnx")
    assert fast.decoder.weight == 0.5 and fast.decoder.language is not None
    paths = sorted((drawn_set / "test").iterdir())
    for one, other in zip(slow.read(paths), fast.read(paths)):
        assert one.text == other.text and one.confidence == pytest.approx(other.confidence, abs=0.05)


def test_the_command_leaves_a_language_at_its_place(run, tmp_path, monkeypatch):
    source = shutil.copytree(run.folder, tmp_path / "run")
    before = (source / "best_model.lm").read_bytes()
    monkeypatch.setattr(sys, "argv", ["export", str(source), str(source / "best_model.onnx")])
    export.main()
    assert (source / "best_model.lm").read_bytes() == before
    (source / "best_model.lm").unlink()
    monkeypatch.setattr(sys, "argv", ["export", str(source), str(tmp_path / "greedy.onnx")])
    export.main()
    assert not (tmp_path / "greedy.lm").exists() and Recognizer.from_checkpoint(tmp_path / "greedy.onnx").decoder is None


@pytest.mark.parametrize(
    "source, file, message",
    [
        ("nowhere", "out.onnx", "nowhere: no such checkpoint or folder"),
        ("model.onnx", "out.onnx", "model.onnx: no weights that this version of hwrlib can go on from"),
        ("names", "out.bin", "out.bin: the name must end in .onnx"),
    ],
)
def test_the_command_says_what_is_wrong(source, file, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"")
    monkeypatch.setattr(sys, "argv", ["export", source, file])
    with pytest.raises(SystemExit, match=f"error: {message}"):
        export.main()
    assert not (tmp_path / file).exists()

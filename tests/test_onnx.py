"""hwrlib.onnx: an exported model reads the same texts, without torch."""

import json
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from hwrlib import synthetic
from hwrlib.charset import Charset
from hwrlib.images import Normalisation
from hwrlib.language import Calibration, CharacterModel, Decoder
from hwrlib.metrics import cer
from hwrlib.model import CRNN
from hwrlib.models import export
from hwrlib.models.checkpoint import load_model
from hwrlib.models.export import to_onnx
from hwrlib.models.recognizer import Recognizer
from hwrlib.onnx.runtime import OnnxModel
from hwrlib.runs.fit import fit
from hwrlib.sets.labels import read_labels
from hwrlib.weights import SHIPPED

CHARSET = Charset("AELNOZ")  # of the tiny recogniser
NORMALISATION = Normalisation(height=16, max_width=96, min_width=32)


def export_tiny(recognizer: Recognizer, path: Path, bits: int) -> Path:
    about = dict(config=recognizer.config, metrics=recognizer.metrics)
    return to_onnx(recognizer.model, recognizer.charset, recognizer.normalisation, path, bits=bits, **about)


@pytest.fixture(scope="module")
def exported(recognizer, tmp_path_factory):
    """The tiny trained recogniser as an ONNX file."""
    return export_tiny(recognizer, tmp_path_factory.mktemp("onnx") / "tiny.onnx", 16)


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


def test_weights_that_are_kept_elsewhere_or_lost_are_rejected(exported, tmp_path):
    def kept_elsewhere(proto: onnx.ModelProto) -> None:
        weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "classifier.bias")
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        entry = weight.external_data.add()
        entry.key, entry.value = "location", "/etc/passwd"

    def lost(proto: onnx.ModelProto) -> None:
        del proto.graph.initializer[-1]

    def cut(proto: onnx.ModelProto) -> None:
        proto.graph.initializer[-1].raw_data = proto.graph.initializer[-1].raw_data[:-2]

    def of_before(proto: onnx.ModelProto) -> None:
        metadata = json.loads(proto.metadata_props[0].value)
        del metadata["arguments"]
        proto.metadata_props[0].value = json.dumps(metadata)

    for change, message in [
        (kept_elsewhere, "its weights cannot be read .*is kept in another file"),
        (lost, "weights are missing or unknown"),
        (cut, "its weights cannot be read"),
        (of_before, "no weights that this version of hwrlib can go on from"),
    ]:
        proto = onnx.load(exported)
        change(proto)
        (tmp_path / "bad.onnx").write_bytes(proto.SerializeToString())
        with pytest.raises(ValueError, match=f"bad.onnx: .*{message}"):
            load_model(tmp_path / "bad.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ValueError, match="text.onnx: not a readable ONNX file"):
        load_model(tmp_path / "text.onnx")
    with pytest.raises(FileNotFoundError, match="none.onnx: no such file"):
        load_model(tmp_path / "none.onnx")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Rendered names of many widths."""
    folder = tmp_path_factory.mktemp("rendered") / "names"
    synthetic.generate(folder, train=1, validation=1, test=30)
    return sorted((folder / "test").iterdir())


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_read_the_same_in_both_forms(name, rendered, monkeypatch):
    monkeypatch.setattr(
        "hwrlib.models.precision.has_fast_bf16", lambda device: False
    )  # rounding would change uncertain letters
    slow, fast = Recognizer.pretrained(name, device="cpu"), Recognizer.pretrained(name)
    assert fast.charset == slow.charset and fast.metrics == slow.metrics
    texts = [[reading.text for reading in recognizer.read(rendered)] for recognizer in (slow, fast)]
    assert sum(map(len, texts[0])) > 60 and cer(*texts) < 0.01


def test_shipped_names_read_rendered_names(rendered):
    truths = read_labels(rendered[0].parent.with_suffix(".csv"))["IDENTITY"].tolist()
    assert cer(truths, [reading.text for reading in Recognizer.pretrained("names").read(rendered)]) < 0.2


def test_reading_with_shipped_weights_needs_no_torch(drawn_set):
    image = next((drawn_set / "test").iterdir())
    script = (
        f"import sys; from hwrlib import Recognizer; Recognizer.pretrained('names').read({str(image)!r}); "
        "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


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


def test_files_that_are_not_our_models_are_rejected(exported, tmp_path):
    with pytest.raises(FileNotFoundError, match="none.onnx: no such file"):
        Recognizer.from_checkpoint(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    (tmp_path / "short.onnx").write_bytes(exported.read_bytes()[:1000])
    for name in ("text.onnx", "short.onnx"):
        with pytest.raises(ValueError, match=f"{name}: not a readable ONNX file"):
            Recognizer.from_checkpoint(tmp_path / name)
    foreign = onnx.load(exported)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(ValueError, match="foreign.onnx: not a model of this version"):
        Recognizer.from_checkpoint(tmp_path / "foreign.onnx")


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


# Metadata that do not fit the graph ----------------------------------------------------------------------------------


@pytest.fixture
def changed(exported, tmp_path):
    """Write the file with other metadata; returns its path."""

    def write(metadata) -> Path:
        proto = onnx.load(exported)
        proto.metadata_props[0].value = metadata if isinstance(metadata, str) else json.dumps(metadata)
        (tmp_path / "changed.onnx").write_bytes(proto.SerializeToString())
        return tmp_path / "changed.onnx"

    return write


def metadata_of(path: Path) -> dict:
    return json.loads(onnx.load(path).metadata_props[0].value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("stride", value) for value in (0, -4, 2, 3, 8, 64, 4.0, "4", None, True)),
        *(("characters", value) for value in ("AB", ["A"], None, "")),
        *(("normalisation", value) for value in (None, [], {"height": 48}, {"height": 0}, {"size": 3})),
        *((name, value) for name in ("config", "metrics") for value in (None, [1], "x")),
    ],
)
def test_metadata_that_do_not_fit_the_graph_are_rejected(exported, changed, name, value):
    path = changed(metadata_of(exported) | {name: value})
    with pytest.raises(ValueError, match="its parts do not fit together") as raised:
        Recognizer.from_checkpoint(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("name", ["stride", "characters", "normalisation", "config", "metrics"])
def test_missing_metadata_are_named(exported, changed, name):
    metadata = metadata_of(exported)
    del metadata[name]
    with pytest.raises(ValueError, match=f"'{name}' is missing"):
        Recognizer.from_checkpoint(changed(metadata))


@pytest.mark.parametrize("metadata", ["[1]", "null", "{", "3", ""])
def test_metadata_that_are_no_mapping_are_rejected(changed, metadata):
    with pytest.raises(ValueError, match="changed.onnx: not a"):
        Recognizer.from_checkpoint(changed(metadata))


def test_weights_that_are_not_numbers_are_rejected(exported, tmp_path):
    proto = onnx.load(exported)
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "classifier.bias")
    weight.raw_data = np.full(len(CHARSET), np.nan, np.float32).tobytes()
    (tmp_path / "nan.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ValueError, match="not numbers"):
        Recognizer.from_checkpoint(tmp_path / "nan.onnx")


def test_the_suffix_may_be_in_capitals(exported, recognizer, drawn_set, tmp_path):
    shutil.copy(exported, tmp_path / "MODEL.ONNX")
    path = next((drawn_set / "test").iterdir())
    read = Recognizer.from_checkpoint(tmp_path / "MODEL.ONNX").read(path, language=None)
    assert read.text == recognizer.read(path, language=None).text

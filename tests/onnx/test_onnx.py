"""hwrlib.onnx: reading without torch, and files that are not our models."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from hwrlib.charset import Charset
from hwrlib.models.checkpoint import load_model
from hwrlib.models.recognizer import Recognizer

CHARSET = Charset("AELNOZ")  # of the tiny recogniser


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


def test_reading_with_shipped_weights_needs_no_torch(drawn_set):
    image = next((drawn_set / "test").iterdir())
    script = (
        f"import sys; from hwrlib import Recognizer; Recognizer.pretrained('names').read({str(image)!r}); "
        "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


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

"""hwrlib.runs.config: what is refused, and how it is said."""

import dataclasses

import pytest

from hwrlib.runs.config import TrainConfig


def test_defaults_are_valid_and_frozen():
    config = TrainConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.epochs = 3


def test_round_trip():
    config = TrainConfig(epochs=3, model="baseline", height=64)
    assert TrainConfig.from_dict(config.as_dict()) == config
    assert list(config.as_dict()) == TrainConfig.names()


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ValueError) as error:
        TrainConfig.from_dict({"epochs": 3, "learnrate": 0.1, "batch": 2})
    assert "['batch', 'learnrate']" in str(error.value)
    assert all(name in str(error.value) for name in TrainConfig.names())


@pytest.mark.parametrize(
    "name, value, said",
    [
        ("epochs", 2.0, "epochs must be int, not 2.0"),
        ("epochs", True, "epochs must be int, not True"),
        ("data", 3, "data must be str, not 3"),
        ("dropout", None, "dropout must be float, not None"),
        ("learning_rate", "1e-3", "learning_rate must be float, not '1e-3' (write 0.001, not 1e-3)"),
    ],
)
def test_wrong_types_are_refused(name, value, said):
    with pytest.raises(ValueError) as error:
        TrainConfig(**{name: value})
    assert said in str(error.value)


def test_a_whole_number_does_for_a_fraction():
    config = TrainConfig(learning_rate=1, dropout=0)
    assert config.learning_rate == 1.0 and type(config.learning_rate) is type(config.dropout) is float


@pytest.mark.parametrize(
    "name, value",
    [
        ("epochs", 0),
        ("batch_size", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("dropout", 1.0),
        ("learning_rate", float("inf")),
        ("ema", -0.1),
        ("augment", -1.0),
        ("seed", -1),
        ("model", "resnet"),
        ("schedule", "step"),
        ("precision", "fp8"),
        ("height", 50),
        ("min_width", 1000),
        ("max_stretch", 0.5),
        ("warmup", 1.0),
        ("workers", -1),
        ("language_order", -1),
        ("language_order", 21),
    ],
)
def test_values_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        TrainConfig(**{name: value})


def test_every_fault_is_told_at_once():
    with pytest.raises(ValueError) as error:
        TrainConfig(epochs=0, precision="fp8", height=50)
    assert all(part in str(error.value) for part in ("epochs", "auto, fp32, bf16, fp16", "multiple of 8, not 50"))


def test_a_recipe_with_changes(tmp_path):
    (tmp_path / "mine.yaml").write_text("epochs: 9\naugment: 0.5\n", encoding="utf-8")
    assert TrainConfig.from_yaml(tmp_path / "mine.yaml", epochs=2, augment=None) == TrainConfig(epochs=2, augment=0.5)
    assert TrainConfig.from_yaml("", data="data/mine") == TrainConfig(data="data/mine")
    with pytest.raises(ValueError, match="parameters: learning_rate.*1e-3"):
        TrainConfig.from_yaml("", learning_rate="1e-3")
    with pytest.raises(FileNotFoundError, match="gone.yaml"):
        TrainConfig.from_yaml(tmp_path / "gone.yaml")


def test_the_record_of_an_earlier_version():
    record = TrainConfig(epochs=7).as_dict() | {"model": "crnn", "compiled": False}
    assert TrainConfig.from_record(record) == TrainConfig(epochs=7)


def test_what_differs():
    config = TrainConfig(epochs=7, workers=3)
    assert config.changed() == {"epochs": 7, "workers": 3}
    assert config.differences(TrainConfig()) == ["epochs: 4 then, 7 now"]  # the number of workers is free to change


def test_every_knob_is_explained():
    assert all(field.metadata["help"] for field in dataclasses.fields(TrainConfig))


def test_yaml_file(tmp_path):
    file = tmp_path / "names.yaml"
    file.write_text('epochs: 4   # passes\nlearning_rate: 0.002\ncharacters: "ABÉ"\n', encoding="utf-8")
    assert TrainConfig.from_yaml(file) == TrainConfig(epochs=4, learning_rate=0.002, characters="ABÉ")
    file.write_text("", encoding="utf-8")
    assert TrainConfig.from_yaml(file) == TrainConfig()


@pytest.mark.parametrize(
    "content, said",
    [
        ("learning_rate: 1e-3", "write 0.001"),
        ("epoch: 3", "unknown parameters ['epoch']"),
        ("epochs: [", "epochs"),
        ("- epochs", "`name: value` lines"),
        ("epochs: 0", "above 0"),
        ("just text", "`name: value` lines"),
    ],
)
def test_faults_of_a_yaml_file_name_the_file(tmp_path, content, said):
    file = tmp_path / "mine.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError) as error:
        TrainConfig.from_yaml(file)
    assert str(file) in str(error.value) and said in str(error.value)


def test_the_baseline_needs_its_height():
    with pytest.raises(ValueError, match="model: baseline reads images of height 64, not 40"):
        TrainConfig(model="baseline")


# Files and values that were guessed or found late --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epochs: 1:30", "epochs must be int, not '1:30'"),
        ("epochs: 010", "epochs must be int, not '010'"),
        ("epochs: 2\nepochs: 3", "'epochs' occurs twice"),
        ("epochs: 2\n---\nepochs: 3", "expected a single document"),
        ("epochs: [2, 3]", "one value each"),
        ("1: 2", "`name: value` lines"),
        ("[1, 2]", "`name: value` lines"),
        ("epochs: 2\n  seed: 3", "mapping values are not allowed"),
        ("data: 2020-01-01\nepochs: x", "epochs must be int"),
        ("learning_rate: .nan", "finite"),
        ("augment: .inf", "finite"),
        ("seed: 18446744073709551616", "seed must be at most"),
        ("epochs: 99999999999999999999999", "epochs must be at most"),
        ("height: 1000000000", "height must be at most"),
        ("hidden: 10000000", "hidden must be at most"),
        ("width: 4", "width must be at least 8"),
        ("epochs: true", "epochs must be int, not True"),
        ("characters: ABA", "occur twice in the charset: .*'A'"),
        ("model: baseline\nheight: 40", "reads images of height 64"),
        ("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]", "one value each"),
        ("x: " + "[" * 5000, "nested too deeply|one value each|expected"),
        ("data: x" + " " * 1_000_001, "are no recipe"),
    ],
)
def test_a_recipe_is_never_guessed_and_its_faults_are_named(content, message, tmp_path):
    (tmp_path / "recipe.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as raised:
        TrainConfig.from_yaml(tmp_path / "recipe.yaml")
    assert "recipe.yaml" in str(raised.value) and len(str(raised.value)) < 1000


def test_a_folder_and_another_encoding_are_no_recipes(tmp_path):
    with pytest.raises(ValueError, match="this is a folder"):
        TrainConfig.from_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"data: \xe9t\xe9")
    with pytest.raises(ValueError, match="latin.yaml"):
        TrainConfig.from_yaml(tmp_path / "latin.yaml")


def test_numbers_are_read_as_they_look(tmp_path):
    (tmp_path / "recipe.yaml").write_text(
        "epochs: 10\nlearning_rate: 0.002\naugment: 1\nema: .5\nseed: 0\n", encoding="utf-8"
    )
    config = TrainConfig.from_yaml(tmp_path / "recipe.yaml")
    assert (config.epochs, config.learning_rate, config.augment, config.ema, config.seed) == (10, 0.002, 1.0, 0.5, 0)

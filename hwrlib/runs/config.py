"""Every knob of a training run: declared, typed, explained and limited in one place.

Recipes (`notebooks/params/*.yaml`) and the parameters of notebook 02 use the same names. An unknown name, a wrong type
or a value out of range is rejected before any work starts.
"""

import dataclasses
import math
import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwrlib.charset import Charset
from hwrlib.images import MAX_HEIGHT, MAX_WIDTH, Normalisation
from hwrlib.language.character_model import MAX_ORDER
from hwrlib.model import ARCHITECTURES, LIMITS
from hwrlib.runs.recipes import read_yaml

LIMITED = {"above": operator.gt, "at_least": operator.ge, "at_most": operator.le, "below": operator.lt}


def knob(
    default: Any,
    help: str,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] = (),
    multiple_of: int = 1,
    may_change: bool = False,
) -> Any:
    """A field of `TrainConfig`: its explanation, its limits, and whether it may change when a run is resumed."""
    limits = dict(above=above, at_least=at_least, at_most=at_most, below=below, choices=choices, multiple_of=multiple_of)
    return dataclasses.field(default=default, metadata={"help": help, "may_change": may_change, **limits})


def size(name: str) -> dict[str, int]:
    """The limits of a size of the model."""
    low, high = LIMITS[name]
    return dict(at_least=low, at_most=high)


@dataclass(frozen=True)
class TrainConfig:
    """The knobs of a training run; the defaults train the embedded data set in minutes on two CPU cores.

    Raises:
        ValueError: a value has the wrong type or is out of range; the message lists every fault.
    """

    data: str = knob("data/synthetic", "folder of the data set")
    extra_data: str = knob("", "further data sets, separated by commas, whose training lines are mixed in; empty: none")
    corrections: str = knob("", "CSV of decisions on suspect labels (notebook 05); empty: labels as they are")
    balance: float = knob(
        0.0, "0: lines are drawn equally often; 1: writers (column WRITER); between: small ones more", at_least=0, at_most=1
    )
    train_limit: int = knob(0, "train on this many lines of `data`, drawn at random; 0: all", at_least=0, at_most=10**12)
    characters: str = knob("", "the charset; empty: the characters of the training labels")

    height: int = knob(40, "image height in px", above=0, multiple_of=8, at_most=MAX_HEIGHT)
    max_width: int = knob(256, "px; a wider image is squeezed to this", above=0, at_most=MAX_WIDTH)
    min_width: int = knob(32, "px; a narrower image is padded with paper to this", above=0, at_most=MAX_WIDTH)
    max_stretch: float = knob(
        1.7, "how much more the height of a squeezed line may be scaled than its width", at_least=1, at_most=100
    )

    model: str = knob(
        "residual", "architecture; `baseline` is the original design and ignores the next five", choices=tuple(ARCHITECTURES)
    )
    width: int = knob(32, "channels of the first stage of residual blocks; the next two have 2x and 4x", **size("width"))
    depth: int = knob(1, "residual blocks in each of the three stages", **size("depth"))
    hidden: int = knob(128, "LSTM units in each direction", **size("hidden"))
    layers: int = knob(2, "number of LSTM layers", **size("layers"))
    dropout: float = knob(0.1, "fraction of features dropped before each LSTM layer and the classifier", at_least=0, below=1)
    start_from: str = knob("", "initial weights: `names`, `lines`, a checkpoint or a run; empty: random")

    epochs: int = knob(4, "passes over the training split", above=0, at_most=10**6)
    batch_size: int = knob(16, "images per step and process", above=0, at_most=10**6)
    accumulation: int = knob(1, "batches whose gradients are averaged for an update", above=0, at_most=10**6)
    optimizer: str = knob("muon", "`muon` (for hidden matrices, AdamW for the rest) or `adamw`", choices=("muon", "adamw"))
    learning_rate: float = knob(0.0025, "at the peak of the schedule", above=0, at_most=100)
    weight_decay: float = knob(0.01, "fraction of the learning rate by which weights shrink per step", at_least=0)
    schedule: str = knob("cosine", "`cosine` to zero or `constant`, both after the warm-up", choices=("cosine", "constant"))
    warmup: float = knob(0.05, "fraction of all steps in which the learning rate rises linearly", at_least=0, below=1)
    clip_norm: float = knob(5.0, "gradients are scaled down to this norm; 0: never", at_least=0)
    shortcut: float = knob(0.3, "weight of the CTC loss of the shortcut head", at_least=0)
    ema: float = knob(
        0.997, "decay of the weights' moving average, which is evaluated and saved; 0: none", at_least=0, below=1
    )
    augment: float = knob(
        0.2, "strength of the augmentation; 0: none, 0.5: for a quarter of an hour, 1: for hours", at_least=0, at_most=2
    )
    erase: float = knob(0.0, "fraction of the columns that patches without ink cover; 0: none", at_least=0, at_most=0.5)
    photo: float = knob(0.0, "fraction of the lines drawn on photographed paper, with its ruling", at_least=0, at_most=1)
    precision: str = knob(
        "auto", "`auto`: bf16 if the hardware multiplies it fast, else fp32", choices=("auto", "fp32", "bf16", "fp16")
    )
    patience: int = knob(
        0, "stop after this many epochs without a better validation CER; 0: never", at_least=0, at_most=10**6
    )
    seed: int = knob(0, "of the weights, the batches and the augmentation", at_least=0, at_most=2**63 - 1)

    language_order: int = knob(
        6, "characters of the language model's n-grams; 0: no language model", at_least=0, at_most=MAX_ORDER, may_change=True
    )
    language_text: str = knob(
        "", "further texts for it: lines, or a CSV file with the columns text and frequency; empty: none", may_change=True
    )

    workers: int = knob(
        0, "processes that load batches; 0: the main one, fast with the cache", at_least=0, at_most=1024, may_change=True
    )
    checkpoint_minutes: float = knob(5.0, "the state for `resume` is saved at least this often", above=0, may_change=True)
    checkpoints_kept: int = knob(
        3, "epoch checkpoints that are kept beside the best", above=0, may_change=True, at_most=10**6
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is float and type(value) is int:  # `learning_rate: 1` is the same as 1.0
                object.__setattr__(self, field.name, float(value))
        faults = [fault for field in dataclasses.fields(self) if (fault := _fault(self, field))]
        if faults := faults or self._conflicts():
            raise ValueError("; ".join(faults))

    def _conflicts(self) -> list[str]:
        """Knobs whose values, each allowed by itself, do not go together."""
        found = []
        if self.min_width > self.max_width:
            found.append(f"min_width {self.min_width} exceeds max_width {self.max_width}")
        if self.model == "baseline" and self.height != 64:
            found.append(f"model: baseline reads images of height 64, not {self.height}")
        if self.characters:
            try:
                Charset(self.characters)
            except ValueError as error:
                found.append(f"characters: {error}")
        return found

    @property
    def extra_folders(self) -> list[str]:
        """The folders of `extra_data`."""
        return [folder.strip() for folder in self.extra_data.split(",") if folder.strip()]

    @property
    def normalisation(self) -> Normalisation:
        """How every image of the run is prepared."""
        return Normalisation(
            height=self.height, max_width=self.max_width, min_width=self.min_width, max_stretch=self.max_stretch
        )

    @classmethod
    def names(cls) -> list[str]:
        """The names of all knobs."""
        return [field.name for field in dataclasses.fields(cls)]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """A configuration from names and values; all other knobs keep their defaults.

        Raises:
            ValueError: an unknown name (the message lists the known ones), a wrong type, or a value out of range.
        """
        unknown = sorted(map(str, set(values) - set(cls.names())))
        if unknown:
            raise ValueError(f"unknown parameters {unknown}; known are: {', '.join(cls.names())}")
        return cls(**values)

    @classmethod
    def from_yaml(cls, path: str | Path, **changes: Any) -> "TrainConfig":
        """A configuration from a recipe, a YAML file of `name: value` lines.

        Args:
            path: the file; "" stands for the defaults.
            changes: knobs that differ from the recipe; those that are None do not.
        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is not such a mapping, or a name or value is rejected; the message names the file.
        """
        values = read_yaml(path) if path else {}
        try:
            return cls.from_dict(values | {name: value for name, value in changes.items() if value is not None})
        except ValueError as error:
            raise ValueError(f"{path or 'parameters'}: {error}") from error

    @classmethod
    def from_record(cls, values: dict[str, Any]) -> "TrainConfig":
        """The configuration that a checkpoint of this or an earlier version keeps; knobs that are gone are ignored."""
        known = {name: value for name, value in values.items() if name in cls.names()}
        return cls(**known | ({"model": "residual"} if known.get("model") == "crnn" else {}))

    def as_dict(self) -> dict[str, Any]:
        """All knobs by name."""
        return dataclasses.asdict(self)

    def changed(self) -> dict[str, Any]:
        """The knobs that differ from their defaults."""
        return {name: value for name, value in self.as_dict().items() if value != getattr(TrainConfig, name)}

    def differences(self, other: "TrainConfig") -> list[str]:
        """The knobs that must be equal for a run to be resumed and are not, as `name: theirs then, ours now`."""
        return [
            f"{field.name}: {theirs!r} then, {ours!r} now"
            for field in dataclasses.fields(self)
            if not field.metadata["may_change"]
            and (ours := getattr(self, field.name)) != (theirs := getattr(other, field.name))
        ]


def _fault(config: TrainConfig, field: dataclasses.Field) -> str | None:
    """What is wrong with a knob's value, if anything."""
    value, wanted, limits = getattr(config, field.name), field.type, field.metadata
    if type(value) is not wanted:
        hint = " (write 0.001, not 1e-3)" if wanted is float and isinstance(value, str) else ""
        return f"{field.name} must be {wanted.__name__}, not {value!r}{hint}"
    if limits["choices"] and value not in limits["choices"]:
        return f"{field.name} must be one of {', '.join(limits['choices'])}, not {value!r}"
    if wanted is float and not math.isfinite(value):
        return f"{field.name} must be a finite number, not {value}"
    for name, holds in LIMITED.items():
        if limits[name] is not None and not holds(value, limits[name]):
            return f"{field.name} must be {name.replace('_', ' ')} {limits[name]}, not {value}"
    if value and limits["multiple_of"] > 1 and value % limits["multiple_of"]:
        return f"{field.name} must be a multiple of {limits['multiple_of']}, not {value}"
    return None

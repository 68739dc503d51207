"""Every knob of a training run, in one frozen, checked place.

The same names stand in the parameters cell of notebook 02, in ``notebooks/params/*.yaml`` and here. A value of the
wrong type or a name that is not known is refused at once, with the names that are.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class TrainConfig:
    """What a training run is made of; the defaults train the embedded set in minutes on two CPU cores.

    Raises:
        ValueError: a value has the wrong type or lies outside its range; the message lists every fault.
    """

    data: str = "data/synthetic"   # folder of the data set, in the one layout
    model: str = "crnn"            # "crnn" (ours) or "baseline" (the original design)
    width: int = 32                # channels of the first block; the next two have 2x and 4x ("crnn")
    hidden: int = 128              # LSTM units in each direction ("crnn")
    layers: int = 2                # of the LSTM; 1 trains a fifth faster ("crnn")
    dropout: float = 0.1           # share of features dropped before each LSTM layer and the classifier ("crnn")
    shortcut: float = 0.3          # weight of a second CTC loss straight on the CNN's features; 0: none ("crnn")
    characters: str = ""           # the charset; empty: the characters of the training labels
    extra_data: str = ""           # a second data set whose training lines are mixed in; empty: none
    corrections: str = ""          # CSV of decisions on suspect labels (notebook 05); empty: labels as they are
    start_from: str = ""           # weights to begin with: "names", "lines", a checkpoint or a run; empty: random
    height: int = 40               # image height in px; a multiple of 8
    max_width: int = 256           # px; a wider image is squeezed to this
    min_width: int = 32            # px; a narrower image is padded with paper to this
    max_stretch: float = 1.7       # how much more the height may be scaled than a squeezed width
    epochs: int = 4                # passes over the training split
    batch_size: int = 16           # images a step (and a process)
    accumulation: int = 1          # batches whose gradients are summed before a step of the optimizer
    optimizer: str = "muon"        # "muon" (for the hidden matrices, AdamW for the rest) or "adamw"
    learning_rate: float = 0.0025  # at the peak of the schedule
    weight_decay: float = 0.01     # share of the learning rate by which weights shrink a step
    schedule: str = "cosine"       # "cosine" to zero, or "constant"; both after the warm-up
    warmup: float = 0.05           # share of all steps in which the learning rate rises linearly from 0
    clip_norm: float = 5.0         # gradients are scaled down to this norm; 0: never
    ema: float = 0.997             # decay of the moving average of the weights that is evaluated and saved; 0: none
    augment: float = 0.2           # strength of the augmentation; 0: none, 0.5: for a quarter of an hour, 1: for hours
    precision: str = "auto"        # "fp32", "bf16", "fp16"; auto: bf16 where the hardware multiplies it fast
    compiled: bool = False         # the convolutions by torch.compile, for a GPU; CPUs gain nothing
    patience: int = 0              # stop after this many epochs without a better validation CER; 0: never
    workers: int = 0               # processes that load batches; 0: the main one (the cache makes that fast)
    train_limit: int = 0           # train on this many images of `data`, drawn at random; 0: all
    checkpoint_minutes: float = 5.0  # the state for `resume` is saved at least this often, and at each epoch
    checkpoints_kept: int = 3      # epoch checkpoints that stay on disk beside the best
    seed: int = 0                  # of the weights, the batches and the augmentation

    def __post_init__(self):
        faults = _type_faults(self) or _range_faults(self)
        if faults:
            raise ValueError("; ".join(faults))

    @classmethod
    def names(cls) -> list[str]:
        """The names of all knobs."""
        return [field.name for field in dataclasses.fields(cls)]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """A configuration from names and values.

        Raises:
            ValueError: an unknown name (the message lists the known ones), a wrong type, or a value out of range.
        """
        unknown = sorted(set(values) - set(cls.names()))
        if unknown:
            raise ValueError(f"unknown parameters {unknown}; known are: {', '.join(cls.names())}")
        return cls(**values)

    @classmethod
    def from_parameters(cls, namespace: dict[str, Any]) -> "TrainConfig":
        """A configuration from a notebook's ``globals()``: every knob that is defined there, the rest by default."""
        return cls(**{name: namespace[name] for name in cls.names() if name in namespace})

    @classmethod
    def from_yaml(cls, path: str | Path) -> "TrainConfig":
        """A configuration from a YAML file of ``name: value`` lines.

        Raises:
            ValueError: the file is no such mapping, or a name or value is refused; the message names the file.
        """
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
            if not isinstance(values, dict):
                raise ValueError("the file must hold `name: value` lines")
            return cls.from_dict(values)
        except (ValueError, yaml.YAMLError) as error:
            raise ValueError(f"{path}: {error}") from error

    def as_dict(self) -> dict[str, Any]:
        """All knobs by name."""
        return dataclasses.asdict(self)


def _type_faults(config: TrainConfig) -> list[str]:
    """One sentence for each value whose type is not the knob's; an int is taken where a float is asked for."""
    faults = []
    for field in dataclasses.fields(config):
        value, wanted = getattr(config, field.name), field.type
        if wanted is float and type(value) is int:
            object.__setattr__(config, field.name, float(value))
        elif type(value) is not wanted:
            hint = " (write 0.001, not 1e-3)" if wanted is float and isinstance(value, str) else ""
            faults.append(f"{field.name} must be {wanted.__name__}, not {value!r}{hint}")
    return faults


def _range_faults(config: TrainConfig) -> list[str]:
    """One sentence for each value outside its range."""
    above_zero = ["width", "hidden", "layers", "height", "max_width", "min_width", "epochs", "batch_size",
                  "accumulation", "learning_rate", "checkpoint_minutes", "checkpoints_kept"]
    not_negative = ["weight_decay", "clip_norm", "augment", "shortcut", "patience", "workers", "train_limit", "seed"]
    below_one = ["dropout", "warmup", "ema"]
    choices = {"model": ("crnn", "baseline"), "schedule": ("cosine", "constant"), "optimizer": ("muon", "adamw"),
               "precision": ("auto", "fp32", "bf16", "fp16")}
    faults = [f"{name} must be above 0, not {getattr(config, name)}" for name in above_zero
              if not getattr(config, name) > 0]
    faults += [f"{name} must not be negative, as {getattr(config, name)} is" for name in not_negative
               if not getattr(config, name) >= 0]
    faults += [f"{name} must lie in 0 … 1, not {getattr(config, name)}" for name in below_one
               if not 0 <= getattr(config, name) < 1]
    faults += [f"{name} must be one of {', '.join(allowed)}, not {getattr(config, name)!r}"
               for name, allowed in choices.items() if getattr(config, name) not in allowed]
    if config.height % 8:
        faults.append(f"height must be a multiple of 8, not {config.height}")
    if config.min_width > config.max_width:
        faults.append(f"min_width {config.min_width} exceeds max_width {config.max_width}")
    if config.max_stretch < 1:
        faults.append(f"max_stretch must be at least 1, not {config.max_stretch}")
    return faults

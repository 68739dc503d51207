"""The CRNN: convolutions see strokes, a bidirectional LSTM reads them in order, a linear layer names characters.

`images (N, 1, H, W)` go in, `log_probs (T, N, C)` come out: the log-probability of every class for each of T frames,
columns of the image a few pixels wide. The design is Shi, Bai and Yao's, *An End-to-End Trainable Neural Network for
Image-based Sequence Recognition* (2015). Two architectures share it: `residual`, ours, and `baseline`, the plain
design this course starts from. To add a third, write one more function and register it in `ARCHITECTURES`.
"""

import inspect
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwrlib.charset import BLANK

FULL_INK = 255.0  # the value of ink in uint8 images
# Least and largest value of each size. With fewer than 8 channels, the CPU gradient of a strided 1 x 1 convolution can write
# out of bounds (torch 2.14).
LIMITS = {"width": (8, 4096), "depth": (1, 32), "hidden": (1, 65_536), "layers": (1, 32)}


class Output(NamedTuple):
    """Output of a CRNN; frames beyond a line's input length are padding."""

    log_probs: Tensor  # (T, N, C) natural-log probabilities, float32
    input_lengths: Tensor  # (N,) frames of each line
    shortcut: Tensor | None  # (T, N, C) of the shortcut head; None in evaluation mode or without such a head


class CRNN(nn.Module):
    """Convolutional recurrent network with a CTC head.

    Args:
        num_classes: C, the blank included.
        architecture: a name in `ARCHITECTURES`.
        sizes: keyword arguments of that architecture.
    Attributes:
        precision: type of its multiplications: "fp32", "bf16" or "fp16".
    Raises:
        ValueError: there is no such architecture, or it has no such size.
    """

    def __init__(self, num_classes: int, *, architecture: str = "residual", **sizes: Any):
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(f"no architecture is called {architecture!r}; there are: {', '.join(ARCHITECTURES)}")
        build, self.stride = ARCHITECTURES[architecture]
        known = {name: value.default for name, value in inspect.signature(build).parameters.items() if name != "num_classes"}
        if unknown := sorted(set(sizes) - set(known)):
            raise ValueError(f"{architecture!r} has no {', '.join(unknown)}; its sizes are: {', '.join(known) or 'fixed'}")
        self.arguments = dict(num_classes=num_classes, architecture=architecture, **known | sizes)  # `CRNN(**arguments)`
        self.cnn, self.rnn, self.classifier, self.shortcut = build(num_classes, **sizes)
        self.dropout = FeatureDropout(self.rnn.dropout.p)
        self.precision = "fp32"

    def output_lengths(self, image_widths: Tensor) -> Tensor:
        """Frames T of images of these widths in px: (N,) -> (N,)."""
        return torch.div(image_widths, self.stride, rounding_mode="floor")

    def forward(self, images: Tensor, image_widths: Tensor) -> Output:
        """Log-probabilities of every class at every frame.

        Args:
            images: (N, 1, H, W) ink: uint8 in 0 ... 255 or float in 0 ... 1, 0 is paper; W a multiple of the stride.
            image_widths: (N,) px of each image that are not padding.
        """
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        with torch.autocast(images.device.type, dtype, enabled=self.precision != "fp32"):
            if images.dtype == torch.uint8:
                images = images.float() / FULL_INK
            columns = self.cnn(images.contiguous(memory_format=torch.channels_last))  # (N, F, T)
            input_lengths = self.output_lengths(image_widths)  # (N,)
            frames = self.dropout(columns.permute(2, 0, 1))  # (T, N, F)
            frames = self.dropout(self.rnn(frames, input_lengths))  # (T, N, 2 * hidden)
            log_probs = self.classifier(frames).float().log_softmax(-1)  # (T, N, C)
            shortcut = self.shortcut(columns) if self.training and self.shortcut is not None else None
        return Output(log_probs, input_lengths, shortcut)

    @torch.inference_mode()
    def infer(self, images: np.ndarray, image_widths: np.ndarray) -> np.ndarray:
        """`log_probs` (T, N, C) in evaluation mode, with NumPy arrays in and out."""
        self.eval()
        device = self.classifier.weight.device
        output = self(torch.from_numpy(images).to(device), torch.from_numpy(image_widths).to(device))
        return output.log_probs.cpu().numpy()


class Parts(NamedTuple):
    """The parts of a CRNN."""

    cnn: nn.Module  # (N, 1, H, W) -> (N, F, W / stride)
    rnn: "BiLSTM"  # (T, N, F) -> (T, N, 2 * hidden); its dropout rate also holds for its input and the classifier's
    classifier: nn.Module  # (T, N, 2 * hidden) -> (T, N, C)
    shortcut: nn.Module | None  # (N, F, T) -> (T, N, C), for training only


def residual(
    num_classes: int, *, width: int = 32, depth: int = 1, hidden: int = 128, layers: int = 2, dropout: float = 0.1
) -> Parts:
    """Ours: residual blocks with batch normalisation, max-pooling over the height, and a shortcut head in training.

    The height of a stroke in its column matters little for recognition. The shortcut is a CTC head on the CNN's columns;
    without it, training often stays for long in the state where every frame is read as blank.

    Args:
        width: channels of the first of three stages of residual blocks; the others have 2x and 4x.
        depth: residual blocks in each stage; all but its first are initialised to the identity (see `ResidualBlock`).
        hidden: LSTM units in each direction.
        layers: number of LSTM layers.
        dropout: fraction of features dropped before each LSTM layer and the classifier.
    Raises:
        ValueError: a size is outside its `LIMITS`.
    Source: Retsinas et al., *Best Practices for a Handwritten Text Recognition System* (2022).
    """
    for name, size in {"width": width, "depth": depth, "hidden": hidden, "layers": layers}.items():
        low, high = LIMITS[name]
        if type(size) is not int or not low <= size <= high:
            raise ValueError(f"{name} must be an integer from {low} to {high}, not {size!r}")
    stem = [nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    cnn = in_sequence(
        stem=nn.Sequential(*stem),  # (N, w, H/2, W/2)
        stage1=stage(depth, width, width),  # (N, w, H/2, W/2)
        stage2=stage(depth, width, 2 * width, stride=(2, 2)),  # (N, 2w, H/4, W/4)
        stage3=stage(depth, 2 * width, 4 * width, stride=(2, 1)),  # (N, 4w, H/8, W/4)
        columns=ColumnMax(),  # (N, 4w, W/4)
    ).to(memory_format=torch.channels_last)  # the layout in which CPUs and tensor cores convolve fastest
    rnn = BiLSTM(4 * width, hidden, num_layers=layers, dropout=dropout)
    classifier = init_blank_bias(nn.Linear(2 * hidden, num_classes))
    return Parts(cnn, rnn, classifier, init_blank_bias(ShortcutHead(4 * width, num_classes)))


def stage(depth: int, in_channels: int, out_channels: int, *, stride: tuple[int, int] = (1, 1)) -> nn.Sequential:
    """Residual blocks after each other, of which the first changes the size."""
    first = ResidualBlock(in_channels, out_channels, stride=stride)
    return nn.Sequential(first, *(ResidualBlock(out_channels, out_channels, identity=True) for _ in range(depth - 1)))


def baseline(num_classes: int) -> Parts:
    """The original design: three conv + ReLU + max-pool blocks, BiLSTM-256 x 2, linear.

    64 x 256 px in, 32 frames out; 6.7 M parameters with 95 characters and the blank.
    """
    stages, channels = {}, 1
    for number, out_channels in enumerate((64, 128, 256), start=1):
        convolution = nn.Conv2d(channels, out_channels, 3, padding=1)
        stages[f"stage{number}"] = nn.Sequential(convolution, nn.ReLU(inplace=True), nn.MaxPool2d(2))
        channels = out_channels
    cnn = in_sequence(**stages, columns=nn.Flatten(1, 2))  # (N, 256 * H/8, W/8)
    return Parts(cnn, BiLSTM(256 * 8, 256, num_layers=2), nn.Linear(512, num_classes), None)


# Name -> the function that builds it, and px of image width per frame.
ARCHITECTURES: dict[str, tuple[Callable[..., Parts], int]] = {"residual": (residual, 4), "baseline": (baseline, 8)}


def in_sequence(**layers: nn.Module) -> nn.Sequential:
    """Layers after each other, by name: their weights are called `cnn.stage2.0.conv1.weight`, for instance."""
    return nn.Sequential(OrderedDict(layers))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation around an identity (He et al., *Deep Residual Learning*, 2015).

    Args:
        in_channels, out_channels: features of each pixel before and after.
        stride: px down and across from one output to the next.
        identity: initialise the scale of the last normalisation to 0, so that the block is the identity (of input >= 0)
            (Goyal et al., *Accurate, Large Minibatch SGD*, 2017).
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: tuple[int, int] = (1, 1), identity: bool = False):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        if identity:
            nn.init.zeros_(self.norm2.weight)
        self.project = (
            nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1, stride=stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride)."""
        y = torch.relu_(self.norm1(self.conv1(x)))
        return torch.relu_(self.norm2(self.conv2(y)).add_(self.project(x)))


class ColumnMax(nn.Module):
    """The strongest response of each feature in each column: (N, F, H, W) -> (N, F, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, (x.shape[2], 1)).squeeze(2)


class BiLSTM(nn.Module):
    """Bidirectional LSTM layers for padded batches, without packing.

    PyTorch reads a padded batch backwards from the padding unless it is packed, and packed sequences are three times
    slower on a CPU. Here each line is reversed within its own length, so both directions read the padding last: what
    a line is read as does not depend on the other lines of its batch.

    Args:
        input_size: features F of a frame.
        hidden_size: units in each direction.
        num_layers: layers, each on the output of the previous one.
        dropout: fraction of features dropped between the layers.
    """

    def __init__(self, input_size: int, hidden_size: int, *, num_layers: int = 2, dropout: float = 0.0):
        super().__init__()
        sizes = [input_size] + [2 * hidden_size] * (num_layers - 1)
        self.forwards = nn.ModuleList(nn.LSTM(size, hidden_size) for size in sizes)
        self.backwards = nn.ModuleList(nn.LSTM(size, hidden_size) for size in sizes)
        self.dropout = FeatureDropout(dropout)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Read the frames in both directions.

        Args:
            frames: (T, N, F).
            lengths: (N,) valid frames.
        Returns:
            (T, N, 2 * hidden_size); values beyond a line's length are undefined.
        """
        time = torch.arange(len(frames), device=frames.device)[:, None]  # (T, 1)
        order = torch.where(time < lengths, lengths - 1 - time, time)[:, :, None]  # (T, N, 1): last frame first
        for layer, (forward, backward) in enumerate(zip(self.forwards, self.backwards)):
            if layer:
                frames = self.dropout(frames)
            reverse, _ = backward(frames.gather(0, order.expand_as(frames)))
            frames = torch.cat([forward(frames)[0], reverse.gather(0, order.expand_as(reverse))], -1)
        return frames


class FeatureDropout(nn.Module):
    """Dropout with one mask per line, shared by all of its frames (T, N, F); the identity in evaluation mode.

    Source: Gal and Ghahramani, *A Theoretically Grounded Application of Dropout in Recurrent Neural Networks* (2016).
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, frames: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return frames
        kept = torch.rand(1, *frames.shape[1:], device=frames.device) >= self.p
        return frames * (kept / (1 - self.p)).to(frames.dtype)


class ShortcutHead(nn.Conv1d):
    """A CTC head directly on the columns of the CNN: (N, F, T) -> log_probs (T, N, C)."""

    def __init__(self, features: int, num_classes: int):
        super().__init__(features, num_classes, 3, padding=1)

    def forward(self, columns: Tensor) -> Tensor:
        # As an image one pixel high: a one-dimensional convolution would convert the layout of all features, twice.
        logits = F.conv2d(columns[:, :, None], self.weight[:, :, None], self.bias, padding=(0, 1))
        return logits[:, :, 0].permute(2, 0, 1).float().log_softmax(-1)


@torch.no_grad()
def init_blank_bias(head: nn.Module) -> nn.Module:
    """Initialise the bias so that the blank has probability 0.75; every CTC training would learn that first anyway."""
    head.bias.zero_()
    head.bias[BLANK] = math.log(3 * (len(head.bias) - 1))
    return head

"""The CRNN: convolutions see strokes, a bidirectional LSTM reads them in order, a linear layer names characters.

``images (N, 1, H, W)`` go in, ``log_probs (T, N, C)`` come out: for each of T frames, columns of the image some
pixels wide, the log-probability of every class. The design is Shi, Bai and Yao's, *An End-to-End Trainable Neural
Network for Image-based Sequence Recognition* (2015). :meth:`CRNN.baseline` is the plain form this course starts from;
``CRNN()`` is ours: residual blocks with batch normalisation, the maximum over each column (where a stroke stands in
its column does not matter much, which letter it belongs to does), and in training a *shortcut*: a second CTC head
straight on the CNN's features, which takes the network off the all-blank plateau (Retsinas et al., *Best Practices
for a Handwritten Text Recognition System*, 2022).
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwrlib.charset import BLANK

FULL_INK = 255.0  # the value of ink in uint8 images


class CRNN(nn.Module):
    """Convolutional recurrent network with a CTC head.

    Args:
        num_classes: C, the blank included.
        width: channels of the first of three residual blocks; the others have 2x and 4x.
        hidden: LSTM units in each direction.
        layers: of the LSTM.
        dropout: share of features dropped before each LSTM layer and the classifier.
    """

    def __init__(self, num_classes: int, *, width: int = 32, hidden: int = 128, layers: int = 2,
                 dropout: float = 0.1):
        super().__init__()
        self.arguments: dict[str, Any] = dict(num_classes=num_classes, width=width, hidden=hidden, layers=layers,
                                              dropout=dropout)
        self.stride = 4  # px of image width a frame
        self.cnn = nn.Sequential(
            nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False),        # (N, w, H/2, W/2)
            nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            ResidualBlock(width, width),                                    # (N, w, H/2, W/2)
            ResidualBlock(width, 2 * width, stride=(2, 2)),                 # (N, 2w, H/4, W/4)
            ResidualBlock(2 * width, 4 * width, stride=(2, 1)),             # (N, 4w, H/8, W/4)
            ColumnMax(),                                                    # (N, 4w, W/4)
        ).to(memory_format=torch.channels_last)    # the layout in which a CPU and tensor cores convolve fastest
        self.dropout = dropout
        self.rnn = BiLSTM(4 * width, hidden, num_layers=layers, dropout=dropout)
        self.classifier = init_blank_bias(nn.Linear(2 * hidden, num_classes))
        self.shortcut = init_blank_bias(nn.Conv1d(4 * width, num_classes, 3, padding=1))

    @classmethod
    def baseline(cls, num_classes: int = 96) -> "CRNN":
        """The original design, layer by layer: three conv + ReLU + max-pool blocks, BiLSTM-256 x 2, linear.

        64 x 256 px in, 32 frames out; 6.7 M parameters with 95 characters and the blank.
        """
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model.arguments = dict(num_classes=num_classes, baseline=True)
        model.stride = 8
        blocks, channels = [], 1
        for out_channels in (64, 128, 256):
            blocks += [nn.Conv2d(channels, out_channels, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            channels = out_channels
        model.cnn = nn.Sequential(*blocks, nn.Flatten(1, 2))               # (N, 256 * H/8, W/8)
        model.dropout = 0.0
        model.rnn = BiLSTM(256 * 8, 256, num_layers=2)
        model.classifier = nn.Linear(512, num_classes)
        model.shortcut = None
        return model

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> "CRNN":
        """A fresh model with the ``arguments`` of another, as a checkpoint keeps them."""
        arguments = dict(arguments)
        return cls.baseline(arguments["num_classes"]) if arguments.pop("baseline", False) else cls(**arguments)

    def output_lengths(self, image_widths: Tensor) -> Tensor:
        """Frames T that images of these widths (px) yield: (N,) -> (N,)."""
        return torch.div(image_widths, self.stride, rounding_mode="floor")

    def forward(self, images: Tensor, image_widths: Tensor, *, with_shortcut: bool = False) -> Any:
        """Log-probabilities of every class at every frame.

        Args:
            images: (N, 1, H, W) ink: uint8 in 0 … 255 or float in 0 … 1, 0 is paper; W a multiple of the stride.
            image_widths: (N,) px of each image that are not padding.
            with_shortcut: return the log-probabilities of the shortcut head, too (training only).
        Returns:
            log_probs (T, N, C), float32; with ``with_shortcut`` a pair of such. Frames past a sample's
            ``output_lengths`` are to be ignored.
        """
        if images.dtype == torch.uint8:
            images = images.float() / FULL_INK
        columns = self.cnn(images.contiguous(memory_format=torch.channels_last))            # (N, F, T)
        dropout = self.dropout if self.training else 0.0
        frames = drop_features(columns.permute(2, 0, 1), dropout)                           # (T, N, F)
        frames = self.rnn(frames, self.output_lengths(image_widths))                        # (T, N, 2 * hidden)
        log_probs = self.classifier(drop_features(frames, dropout)).float().log_softmax(-1)  # (T, N, C)
        if not with_shortcut:
            return log_probs
        # As an image one pixel high: a convolution in one dimension would turn the layout of all features round, twice.
        shortcut = F.conv2d(columns[:, :, None], self.shortcut.weight[:, :, None], self.shortcut.bias, padding=(0, 1))
        return log_probs, shortcut[:, :, 0].permute(2, 0, 1).float().log_softmax(-1)

    @torch.inference_mode()
    def infer(self, images: np.ndarray, image_widths: np.ndarray) -> np.ndarray:
        """As ``forward``, from arrays to an array, in evaluation mode and without gradients; in bf16 where that is fast."""
        self.eval()
        device = self.classifier.weight.device
        with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bf16(device)):
            return self(torch.from_numpy(images).to(device), torch.from_numpy(image_widths).to(device)).cpu().numpy()


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies 16-bit floats fast."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


@torch.no_grad()
def init_blank_bias(head: nn.Module) -> nn.Module:
    """A classifier that begins with three frames in four blank, as CTC ends up with, and so skips learning that first."""
    head.bias.zero_()
    head.bias[BLANK] = math.log(3 * (len(head.bias) - 1))
    return head


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation around an identity (He et al., 2015)."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: tuple[int, int] = (1, 1)):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.project = (nn.Identity() if in_channels == out_channels else
                        nn.Conv2d(in_channels, out_channels, 1, stride=stride))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride)."""
        y = torch.relu_(self.norm1(self.conv1(x)))
        return torch.relu_(self.norm2(self.conv2(y)).add_(self.project(x)))


class ColumnMax(nn.Module):
    """The strongest response in each column: (N, F, H, W) -> (N, F, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.max_pool2d(x, (x.shape[2], 1)).squeeze(2)


class BiLSTM(nn.Module):
    """Bidirectional LSTM layers for padded batches.

    Args:
        input_size: features F of a frame.
        hidden_size: units in each direction.
        num_layers: layers, each on the output of the one before.
        dropout: share of features dropped between the layers.
    """

    def __init__(self, input_size: int, hidden_size: int, *, num_layers: int = 2, dropout: float = 0.0):
        super().__init__()
        sizes = [input_size] + [2 * hidden_size] * (num_layers - 1)
        self.forwards = nn.ModuleList(nn.LSTM(size, hidden_size) for size in sizes)
        self.backwards = nn.ModuleList(nn.LSTM(size, hidden_size) for size in sizes)
        self.dropout = dropout

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Read the frames both ways.

        Args:
            frames: (T, N, F).
            lengths: (N,) valid frames.
        Returns:
            (T, N, 2 * hidden_size); what stands past a sample's length has no meaning.
        """
        time = torch.arange(len(frames), device=frames.device)[:, None]              # (T, 1)
        order = torch.where(time < lengths, lengths - 1 - time, time)[:, :, None]    # (T, N, 1): last frame first
        for layer, (onwards, back) in enumerate(zip(self.forwards, self.backwards)):
            if layer:
                frames = drop_features(frames, self.dropout if self.training else 0.0)
            reverse, _ = back(frames.gather(0, order.expand_as(frames)))
            frames = torch.cat([onwards(frames)[0], reverse.gather(0, order.expand_as(reverse))], -1)
        return frames


def drop_features(frames: Tensor, share: float) -> Tensor:
    """Drop features of each sample, the same ones in all of its frames (T, N, F), and scale the others up.

    Source: Gal and Ghahramani, *A Theoretically Grounded Application of Dropout in Recurrent Neural Networks* (2016).
    """
    if share == 0:
        return frames
    kept = torch.rand(1, *frames.shape[1:], device=frames.device) >= share
    return frames * (kept / (1 - share)).to(frames.dtype)

"""A bidirectional LSTM for lines of different lengths, without packing.

Torch reads a padded batch backwards from the padding, unless it is packed, and packed sequences are three times slower
on a CPU. Here each line is turned round within its own length, so that both directions meet the padding last, when it
can do no harm: a text reads the same alone and beside longer ones.
"""

import torch
from torch import Tensor, nn


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

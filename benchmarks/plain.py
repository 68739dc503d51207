"""What the package is compared with: the original design in the loop that most tutorials write.

The model is the `baseline` architecture. PIL decodes the images in the DataLoader, again in every epoch, and squashes
them to 64 x 256; fp32, Adam, no schedule, no averaging, 32 images per batch. Images are read one by one.
"""

import time
from itertools import chain, islice, repeat
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks.measure import synchronise
from hwrlib.charset import Charset
from hwrlib.metrics import is_special, score
from hwrlib.model import CRNN
from hwrlib.sets.labels import read_labels

WIDTH, HEIGHT, BATCH = 256, 64, 32


def to_tensor(path: str | Path) -> torch.Tensor:
    """An image file as (1, 64, 256) float, 1 is white."""
    grey = Image.open(path).convert("L").resize((WIDTH, HEIGHT))
    return torch.from_numpy(np.asarray(grey, dtype=np.float32) / 255)[None]


class PlainDataset(Dataset):
    """Image files and texts of a split, without special labels."""

    def __init__(self, folder: str | Path, split: str):
        table = read_labels(Path(folder) / f"{split}.csv")
        table = table[~table["IDENTITY"].map(is_special)]
        self.paths = [Path(folder) / split / name for name in table["FILENAME"]]
        self.texts = table["IDENTITY"].tolist()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, str]:
        return to_tensor(self.paths[index]), self.texts[index]


def collate(samples: list[tuple[torch.Tensor, str]]) -> tuple[torch.Tensor, list[str]]:
    """Images as one batch, texts as a list."""
    images, texts = zip(*samples)
    return torch.stack(images), list(texts)


class PlainTraining:
    """The plain loop, batch by batch."""

    def __init__(self, folder: str | Path):
        data, self.validation = PlainDataset(folder, "train"), PlainDataset(folder, "validation")
        loader = DataLoader(data, batch_size=BATCH, shuffle=True, drop_last=True, collate_fn=collate)
        self.batches = chain.from_iterable(repeat(loader))
        self.charset = Charset.from_texts(data.texts)
        torch.manual_seed(0)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = CRNN(len(self.charset), architecture="baseline").to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4)

    def steps(self, count: int) -> None:
        """Train on this many batches."""
        self.model.train()
        widths = torch.full((BATCH,), WIDTH, device=self.device)
        for images, texts in islice(self.batches, count):
            targets = [torch.tensor(self.charset.encode(text)) for text in texts]
            output = self.model(images.to(self.device), widths)
            lengths = torch.tensor([len(target) for target in targets])
            loss = F.ctc_loss(
                output.log_probs, torch.cat(targets).to(self.device), output.input_lengths, lengths, zero_infinity=True
            )
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        synchronise()

    def train_for(self, seconds: float) -> float:
        """Train until the time is up; returns the seconds that it took."""
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            self.steps(1)
        return time.perf_counter() - began

    @torch.inference_mode()
    def read(self, path: str | Path) -> str:
        """The text of one image file."""
        self.model.eval()
        image, width = to_tensor(path)[None].to(self.device), torch.tensor([WIDTH], device=self.device)
        best = self.model(image, width).log_probs.argmax(-1)[:, 0]
        return self.charset.decode([int(index) for index in torch.unique_consecutive(best) if index])

    def validation_cer(self) -> float:
        """CER on every fourth line of the validation split, which is enough to see whether the model reads at all."""
        chosen = range(0, len(self.validation), 4)
        return score([self.validation.texts[i] for i in chosen], [self.read(self.validation.paths[i]) for i in chosen]).cer

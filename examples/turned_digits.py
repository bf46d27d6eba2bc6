"""No recommendation at all: pictures of digits, told even from odd by a convolutional network.

    python examples/turned_digits.py

A domain is a way of holding the picture: turned by a quarter, a half or three quarters, and the same in a mirror. The
domains conflict: a 6 on its head is a 9, a 2 in a mirror is a 5. The network is not told which domain it sees. To mamdr
a picture is an item and its pixels are the item's frozen vector, so that a batch holds ids alone; a user there is not.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

import mamdr

SIDE = 12
# A digit as on a pocket calculator, 5 x 3: its rows from top to bottom, # for what is lit.
DIGITS = (
    "### #.# #.# #.# ###",
    "..# ..# ..# ..# ..#",
    "### ..# ### #.. ###",
    "### ..# ### ..# ###",
    "#.# #.# ### ..# ..#",
    "### #.. ### ..# ###",
    "### #.. ### #.# ###",
    "### ..# ..# ..# ..#",
    "### #.# ### #.# ###",
    "### #.# ### ..# ###",
)
DOMAINS = [f"{turn * 90} degrees{', mirrored' * mirror}" for mirror in (0, 1) for turn in range(4)]


class Network(nn.Module):
    """Two convolutions and two layers over pictures [pictures, SIDE, SIDE] that are looked up by number."""

    def __init__(self, pictures: Tensor) -> None:
        super().__init__()
        self.pictures = nn.Embedding.from_pretrained(pictures.flatten(1))
        self.layers = nn.Sequential(
            nn.Unflatten(1, (1, SIDE, SIDE)),
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, 32),
            nn.ReLU(),
            nn.Linear(32, 1),
        )

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.layers(self.pictures(batch["item_id"]))
        return logits.squeeze(1)


def draw_pictures(digit: np.ndarray, domain: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Digits twice as large, somewhere in the picture, under noise, held as the domain says."""
    lit = np.array([[[cell == "#" for cell in row] for row in rows.split()] for rows in DIGITS])
    large = lit.repeat(2, axis=1).repeat(2, axis=2)
    pictures = random.normal(0, 0.3, (len(digit), SIDE, SIDE)).astype(np.float32)
    for picture, which, how in zip(pictures, digit, domain, strict=True):
        down, right = random.integers(0, SIDE - 9), random.integers(0, SIDE - 5)
        picture[down : down + 10, right : right + 6] += large[which]
        picture[:] = np.rot90(picture[:, ::-1] if how >= 4 else picture, how % 4).copy()
    return pictures


def make_data(rows_per_domain: int) -> tuple[mamdr.Dataset, Tensor]:
    """The data set, and the pictures by number."""
    random, splits, pictures, seen = np.random.default_rng(0), {}, [], 0
    for split, rows in {"train": rows_per_domain, "val": 200, "test": 400}.items():
        domain = np.repeat(np.arange(len(DOMAINS)), rows)
        digit = random.integers(0, 10, len(domain))
        number = seen + np.arange(len(domain))
        columns = {"user_id": np.zeros_like(number), "item_id": number, "domain": domain}
        splits[split] = {**columns, "label": digit % 2}
        pictures.append(draw_pictures(digit, domain, random))
        seen += len(domain)
    data = mamdr.Dataset.from_arrays("digits", DOMAINS, splits, {"item_id": seen})
    return data, torch.from_numpy(np.concatenate(pictures))


def main(rows_per_domain: int = 1000, rounds: int = 10) -> dict[str, float | None]:
    """Test mean AUC by strategy."""
    data, pictures = make_data(rows_per_domain)
    strategies = {
        "alternate": mamdr.strategies.Alternate(),
        "mamdr": mamdr.strategies.MAMDR(num_helpers=1, outer_lr=0.8, specific_lr=0.8),
    }
    results = {}
    for name, strategy in strategies.items():
        torch.manual_seed(0)
        module = Network(pictures)
        run = mamdr.fit(module, data, strategy, lr=0.003, rounds=rounds, patience=0, batch_size=64, seed=1)
        results[name] = run.evaluate("test").mean_auc
    return results


if __name__ == "__main__":
    for name, auc in main().items():
        print(f"{name:10} test mean AUC {auc:.4f}")

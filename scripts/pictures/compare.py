"""How far two pictures of one size are apart, block by block.

Pictures are laid on black and on white, so that alpha counts and colours that nobody sees do not.
Lossy coding makes single pixels differ by much; means of blocks, signed, it leaves alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
GROUNDS = (0, 255)
# Rows that are compared at once: as floats a picture takes four times its memory.
BAND_ROWS = 512


@dataclass
class Apart:
    """Differences on one ground, of 255. Blocks at the right and below may be smaller."""

    blocks: Array  # absolute mean of each block and channel: n x 3
    averages: tuple[list[int], list[int]]  # colour of either picture


def on(ground: int, rgba: Array) -> Array:
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return rgba[..., :3] * alpha + ground * (1 - alpha)


def block_means(values: Array, side: int) -> Array:
    height, width = values.shape[:2]
    rows, columns = np.arange(0, height, side), np.arange(0, width, side)
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    counts = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))
    return (sums / counts[..., None]).reshape(-1, 3)


def apart(first: Array, second: Array, side: int) -> Iterator[Apart]:
    """The differences of two RGBA pictures on each ground, in blocks of `side` pixels."""
    pixels = first.shape[0] * first.shape[1]
    for ground in GROUNDS:
        sums, blocks = np.zeros((2, 3)), []
        for top in range(0, first.shape[0], BAND_ROWS):
            ours, theirs = (on(ground, part[top : top + BAND_ROWS]) for part in (first, second))
            sums += [part.sum(axis=(0, 1), dtype=float) for part in (ours, theirs)]
            blocks.append(np.abs(block_means(ours - theirs, side)))
        averages = (sums / pixels).round().astype(int).tolist()
        yield Apart(np.concatenate(blocks), tuple(averages))

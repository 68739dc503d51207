"""A page on its way to the network, the same in training and in finding: its size, and its ink."""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 1500  # px, the longer side of a page as the network sees it
WINDOW = 41  # px of the smaller page; paper is looked for within it
SMALLER = 4  # times smaller, the page on which paper is looked for
DARKEST_PAPER = 48.0  # grey level; the dark table around a page is not divided by less


def page_scale(shape: tuple[int, int]) -> float:
    """By what a page of (height, width) px is multiplied to have its longer side at `SIDE` px."""
    return SIDE / max(shape)


def resized(grey: np.ndarray, scale: float) -> np.ndarray:
    """A page at another resolution."""
    size = tuple(max(round(side * scale), 1) for side in grey.shape[::-1])
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def page_ink(grey: np.ndarray) -> np.ndarray:
    """(H, W) uint8 ink, 0 for paper: how much darker each pixel is than the paper around it, whatever the light."""
    small = (
        cv2.resize(grey, None, fx=1 / SMALLER, fy=1 / SMALLER, interpolation=cv2.INTER_AREA)
        if min(grey.shape) > SMALLER
        else grey
    )
    paper = cv2.morphologyEx(cv2.medianBlur(small, 3), cv2.MORPH_CLOSE, np.ones((WINDOW // 2,) * 2, np.uint8))
    paper = cv2.blur(paper, (WINDOW // 2,) * 2)
    paper = cv2.resize(paper, grey.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
    ink = 1 - grey / np.maximum(paper, DARKEST_PAPER)
    return (ink.clip(0, 1) * 255).astype(np.uint8)

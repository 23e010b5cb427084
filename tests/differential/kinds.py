"""The kinds of case, written out."""

from __future__ import annotations

import random
from collections.abc import Callable

from differential import control, folders, patterns, scores, words
from differential.cases import Case

KINDS: dict[str, Callable[[random.Random], Case]] = {
    "control": control.generate,
    "scores": scores.generate,
    "words": words.generate,
    "folders": folders.generate,
    "patterns": patterns.generate,
}

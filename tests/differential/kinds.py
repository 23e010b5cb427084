"""The kinds of case, written out."""

from __future__ import annotations

import random
from collections.abc import Callable

from differential import control, scores
from differential.cases import Case

KINDS: dict[str, Callable[[random.Random], Case]] = {
    "control": control.generate,
    "scores": scores.generate,
}

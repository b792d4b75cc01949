# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What a malicious pickle holds."""

from pathlib import Path
from typing import Callable


class Intruder:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> tuple[Callable, tuple]:
        return Path.touch, (self.target,)

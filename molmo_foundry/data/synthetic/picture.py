# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What a built-in data set makes of a random generator."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Picture:
    """A picture with what is said of it.

    Attributes:
        image: JPEG file.
        annotations: As `data.schema` has them.
        metadata: What scoring needs.
    """

    image: bytes
    annotations: list[dict[str, Any]]
    metadata: dict[str, Any]

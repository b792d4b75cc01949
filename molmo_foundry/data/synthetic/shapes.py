# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Coloured shapes to describe, point at, count and ask for: `scene` samples and draws, `text` says and asks."""

import random

from molmo_foundry.data.synthetic.picture import Picture
from molmo_foundry.data.synthetic.scene import render_scene, sample_scene
from molmo_foundry.data.synthetic.text import annotate


def make(rng: random.Random, split: str) -> Picture:
    """Draw a scene, with what `text.annotate` says and asks about it.

    Its metadata holds the size, the background and the shapes with their boxes in pixels.
    """
    scene = sample_scene(rng, split)
    metadata = {
        'width': scene.width,
        'height': scene.height,
        'background': scene.background,
        'shapes': [
            {
                'name': f'{shape.color} {shape.kind}',
                'center': [round(shape.x, 2), round(shape.y, 2)],
                'box': [round(value, 2) for value in shape.box()],
            }
            for shape in scene.shapes
        ],
    }
    return Picture(render_scene(scene), annotate(scene, rng), metadata)

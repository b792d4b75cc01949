# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""How long one core takes from a JPEG file to crops.

Compares three ways to the same crops: `torchvision`, the floating-point implementation that one writes down first
(below); `exact`, the same numbers from `molmo_foundry`; and `fast`, its uint8 path. Photographs are synthetic: the
golden one, enlarged, with texture at every scale, at JPEG quality 90. Larger ones are decoded at full size and, as
training does, at a reduced scale (libjpeg's, which Pillow calls a draft).

    OMP_NUM_THREADS=1 python benchmarks/image_path.py
"""

import argparse
import io
import platform
import statistics
import time
from datetime import date
from pathlib import Path
from typing import Callable

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize

from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.processing import ImagePreprocessor, select_tiling
from molmo_foundry.processing.image_io import DecodedImage, decode_image, load_image
from molmo_foundry.processing.pixels import PIXEL_STATS
from molmo_foundry.processing.resize import RESIZE_MODES, place, resize_fast

PHOTOGRAPH = Path(__file__).parents[1] / 'tests/golden/prep_480x640.png'
SIZES = [(480, 640), (600, 800), (768, 1024), (720, 1280), (1080, 1920)]
LARGE_SIZES = [(1080, 1920), (1536, 2048), (2304, 3072), (3024, 4032)]
PRESETS = {
    'clip336': {},
    'siglip378': {'vit_type': 'siglip', 'image_size': (378, 378), 'num_positions': 729, 'resize_mode': 'siglip'},
    'dino336': {'vit_type': 'dino', 'resize_mode': 'dino'},
}
Crops = tuple[np.ndarray, np.ndarray]


class TorchvisionPreprocessor:
    """The straightforward implementation: everything in float32, every mask pixel by pixel, every tile in turn."""

    def __init__(self, config: MolmoConfig):
        self.vision = config.vision
        self.mode = RESIZE_MODES[self.vision.resize_mode]
        self.mean, self.std = np.array(PIXEL_STATS[self.vision.vit_type], dtype=np.float32)

    def __call__(self, data: bytes) -> Crops:
        """Crops (C, N, patch pixels) and masks (C, N) of an encoded image."""
        image = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data)).convert('RGB')))
        edge, patch = self.vision.image_size[0], self.vision.patch_size
        margin = sum(self.vision.overlap_margins) * patch
        window = edge - margin
        height, width = image.shape[:2]
        rows, cols = select_tiling(height - margin, width - margin, window, self.vision.max_crops)
        whole, _ = self.resize_and_pad(image, (edge, edge))
        picture, mask = self.resize_and_pad(image, (rows * window + margin, cols * window + margin))
        crops, masks = [self.to_patches(whole)], []
        for i in range(rows):
            for j in range(cols):
                area = slice(i * window, i * window + edge), slice(j * window, j * window + edge)
                crops.append(self.to_patches(picture[area]))
                masks.append(self.to_patches(mask[area][..., None].astype(np.float32)).mean(-1))
        return np.stack(crops), np.stack([*masks, np.full_like(masks[0], -1)])

    def resize_and_pad(self, image: np.ndarray, canvas: tuple[int, int]) -> Crops:
        """Normalised pixels (*canvas, 3) and a mask (*canvas) of the real ones."""
        height, width, _ = image.shape
        placement = place(height, width, canvas, self.mode)
        pixels = torch.from_numpy(image).permute(2, 0, 1)
        if not self.mode.whole_levels:
            pixels = pixels.to(torch.float32) / 255
        kernel = getattr(InterpolationMode, self.mode.interpolation.upper())
        pixels = resize(pixels, [placement.height, placement.width], kernel, antialias=self.mode.antialias)
        if self.mode.whole_levels:
            pixels = pixels.to(torch.float32) / 255
        pixels = pixels.clamp(0, 1).permute(1, 2, 0).numpy()
        top, left = placement.top, placement.left
        padding = (
            (top, canvas[0] - placement.height - top),
            (left, canvas[1] - placement.width - left),
        )
        mask = np.pad(np.ones(pixels.shape[:2], dtype=bool), padding)
        pixels = np.pad(pixels, (*padding, (0, 0)), constant_values=self.vision.pad_value)
        return (pixels - self.mean) / self.std, mask

    def to_patches(self, crop: np.ndarray) -> np.ndarray:
        """(H, W, channels) to (N, patch pixels)."""
        (rows, cols), edge = self.vision.patch_grid, self.vision.patch_size
        patches = crop.reshape(rows, edge, cols, edge, -1).transpose(0, 2, 1, 3, 4)
        return patches.reshape(rows * cols, -1)


def make_photograph(height: int, width: int) -> bytes:
    """A JPEG of this size with texture at every scale, as photographs have it."""
    rng = np.random.default_rng(0)
    image = Image.open(PHOTOGRAPH).convert('RGB').resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(image, dtype=np.float32)
    for scale in (1, 2, 4, 8, 16, 32):
        texture = rng.normal(0, 2 * scale**0.7, (height // scale + 1, width // scale + 1)).astype(np.float32)
        texture = Image.fromarray(texture).resize((width, height), Image.Resampling.BICUBIC)
        pixels = pixels + np.asarray(texture)[..., None]
    stream = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, 'JPEG', quality=90)
    return stream.getvalue()


def measure(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of processor time of each way.

    They take turns, so that a busy machine slows all alike, at five calls in a row, as a data worker makes them.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            way()  # refills the caches that the way before has used
            for _ in range(4):
                start = time.process_time()
                way()
                times[name].append((time.process_time() - start) * 1e3)
    return {name: statistics.median(samples) for name, samples in times.items()}


def check(reference: Crops, config: MolmoConfig, pixels: np.ndarray) -> None:
    """Both implementations must agree before their times are compared."""
    crops, masks = reference
    exact = ImagePreprocessor.from_config(config)(pixels)
    differing = np.abs(exact.crops - crops) > 1e-4
    # torch rounds ties by another kernel if it runs on one thread, so a few whole levels differ
    assert differing.mean() < (1e-3 if RESIZE_MODES[config.vision.resize_mode].whole_levels else 1e-9)
    assert exact.masks is not None and np.allclose(exact.masks, masks, atol=1e-6)


def compare(preset: str, rounds: int) -> list[str]:
    """One table row an image size, and one for all sizes together."""
    config = MolmoConfig(vocab_size=512, vision=PRESETS[preset])
    mode = RESIZE_MODES[config.vision.resize_mode]
    reference = TorchvisionPreprocessor(config)
    exact = ImagePreprocessor.from_config(config)
    fast = ImagePreprocessor.from_config(config, pixels='fast')
    rows, total = [], dict.fromkeys(('torchvision', 'exact', 'fast'), 0.0)
    for height, width in SIZES:
        data = make_photograph(height, width)
        pixels = load_image(data)
        check(reference(data), config, pixels)
        layout = fast.layout(height, width)
        edge, _ = config.vision.image_size
        whole = place(height, width, (edge, edge), mode)
        whole_size, tiles_size = (whole.height, whole.width), fast.largest_use(height, width)
        ways = {
            'torchvision': lambda data=data: reference(data),
            'exact': lambda data=data: exact(load_image(data)),
            'fast': lambda data=data: fast(load_image(data)),
            'decode': lambda data=data: load_image(data),
            'whole': lambda pixels=pixels, size=whole_size: resize_fast(pixels, size, mode),
            'tiles': lambda pixels=pixels, size=tiles_size: resize_fast(pixels, size, mode),
        }
        ms = measure(ways, rounds)
        for name in total:
            total[name] += ms[name]
        rest = ms['fast'] - ms['decode'] - ms['whole'] - ms['tiles']
        rows.append(
            f'| {width} x {height} | {layout.num_crops} | {ms["torchvision"]:.1f} | {ms["exact"]:.1f} '
            f'| {ms["fast"]:.1f} | **{ms["torchvision"] / ms["fast"]:.1f}x** '
            f'| {ms["decode"]:.1f} | {ms["whole"]:.1f} | {ms["tiles"]:.1f} | {rest:.1f} |'
        )
    ratio = total['torchvision'] / total['fast']
    times = ' | '.join(f'{total[name]:.1f}' for name in total)
    return [*rows, f'| all five | | {times} | **{ratio:.1f}x** | | | | |']


def compare_draft(rounds: int) -> list[str]:
    """One table row a size of large photographs, with pixels `fast` for CLIP."""
    fast = ImagePreprocessor.from_config(MolmoConfig(vocab_size=512), pixels='fast')

    def decode(data: bytes) -> DecodedImage:
        return decode_image(data, enough=fast.largest_use)

    def reduced(data: bytes) -> object:
        decoded = decode(data)
        return fast(decoded.pixels, decoded.size)

    rows = []
    for height, width in LARGE_SIZES:
        data = make_photograph(height, width)
        ways = {
            'full': lambda data=data: fast(load_image(data)),
            'reduced': lambda data=data: reduced(data),
            'decode full': lambda data=data: load_image(data),
            'decode reduced': lambda data=data: decode(data),
        }
        ms = measure(ways, rounds)
        pixels = decode(data).pixels
        times = ' | '.join(f'{ms[name]:.1f}' for name in ('decode full', 'full', 'decode reduced', 'reduced'))
        rows.append(
            f'| {width} x {height} | {pixels.shape[1]} x {pixels.shape[0]} | {times} '
            f'| **{ms["full"] / ms["reduced"]:.1f}x** |'
        )
    return rows


def machine() -> str:
    """The processor's name, where Linux tells it, and its instruction set."""
    cpuinfo = Path('/proc/cpuinfo')
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return f'{names[0] if names else platform.machine()} with {torch.backends.cpu.get_cpu_capability()}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--presets', nargs='+', choices=PRESETS, default=list(PRESETS))
    parser.add_argument('--rounds', type=int, default=8, help='turns of each way, of four timed runs')
    parser.add_argument('--out', type=Path, help='write the tables to this file as well')
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    lines = [
        '## From a JPEG file to crops, on one core',
        '',
        'Made by `make bench` (`OMP_NUM_THREADS=1 python benchmarks/image_path.py`).',
        '',
        f'{date.today()}, one core of {machine()}, '
        f'torch {torch.__version__}, torchvision {torchvision.__version__}, Pillow {PIL.__version__}. At most 12 '
        f'tiles. Median milliseconds of processor time of {4 * arguments.rounds} runs an image, decoding included; the '
        'last four columns are the stages of `fast`: decoding, resizing for the whole-image crop and for the tiles, '
        'and the rest (cutting, masks, tokens).',
    ]
    for preset in arguments.presets:
        lines += [
            '',
            f'### {preset}',
            '',
            '| image | crops | torchvision | exact | fast | fast against torchvision | decode | whole | tiles | rest |',
            '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
            *compare(preset, arguments.rounds),
        ]
    lines += [
        '',
        '### clip336, large files at full size and at a reduced scale',
        '',
        '| image | decoded to | decode, full size | all | decode, reduced | all | |',
        '| --- | --- | ---: | ---: | ---: | ---: | ---: |',
        *compare_draft(arguments.rounds),
    ]
    report = '\n'.join(lines) + '\n'
    print(report)
    if arguments.out:
        arguments.out.write_text(report)


if __name__ == '__main__':
    main()

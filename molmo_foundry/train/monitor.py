# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What a run achieves: real tokens and images a second, FLOPs by part of the model, time lost to waiting for data.

Composer's SpeedMonitor counts padding and knows no crops. A callback::

    callbacks:
      molmo_monitor: {window: 20, bad_batch_folder: runs/my-run}

Logged every step, means over the last `window` steps, sums over all ranks unless the name says `device`:

| metric | meaning |
| --- | --- |
| `throughput/tokens_per_second`, `loss_tokens_per_second` | tokens without padding; those with loss |
| `throughput/samples_per_second`, `images_per_second`, `crops_per_second` | |
| `throughput/device/tokens_per_second`, … | the same by rank |
| `throughput/data_wait_fraction` | share of the time in which the slowest rank waited for its loader |
| `flops/device/{vit,connector,llm,head}_tflops` | model TFLOP/s of a training step; see `model.flops` |
| `flops/device/mfu` | their sum, as a share of the device's peak; only where that is known |
| `batch/{tokens,loss_tokens,loss_weight,images,crops,samples}` | of this step's global batch |
| `memory/peak_gb` | most memory that tensors have taken on the fullest device |
| `streams/<name>/{ce,loss_weight}` | cross-entropy of each stream, and its loss weight in this step |
| `packing/…`, `streams/<name>/{examples,epochs}` | of a planned loader; see `data.packing.stats` |

After an evaluation: `metrics/eval/<label>/streams/<name>/ce`, beside what `train.metrics` measures, and with `samples`
a table of predictions with their pictures; see `train.sample_predictions`.
"""

import time
from collections import deque
from dataclasses import dataclass, fields
from typing import Any, Mapping, Optional

import torch
from composer.callbacks.speed_monitor import get_gpu_flops_available
from composer.core import Callback, State
from composer.loggers import Logger
from composer.utils import dist
from torch import nn

from molmo_foundry.data.packing.stats import batch_metrics, batch_sums
from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.flops import attended_pairs, count_flops
from molmo_foundry.train.components import COMPONENTS, component_of
from molmo_foundry.train.metrics import CrossEntropy
from molmo_foundry.train.nan_guard import LossWatch, sample_ids
from molmo_foundry.train.sample_predictions import SamplePredictions, SampleSettings
from molmo_foundry.train.stream_loss import StreamLoss

FLOP_PARTS = ('vit', 'connector', 'llm', 'head')
RATES = ('tokens', 'loss_tokens', 'samples', 'images', 'crops')


@dataclass
class BatchCounts:
    """What one rank's batch holds; all add up over ranks and steps.

    Attributes:
        samples: Samples, also those packed into one row.
        images: Images.
        crops: Crops with at least one pooled token.
        tokens: Tokens without padding.
        loss_tokens: Tokens with a loss weight above zero.
        loss_weight: Sum of these weights.
        vit: Training FLOPs of the vision tower.
        connector: Of the connector.
        llm: Of the decoder's blocks.
        head: Of the head.
    """

    samples: float
    images: float
    crops: float
    tokens: float
    loss_tokens: float
    loss_weight: float
    vit: float
    connector: float
    llm: float
    head: float


COUNTED = tuple(field.name for field in fields(BatchCounts))


def flop_factors(model: nn.Module) -> dict[str, int]:
    """What a training step costs in each component, in units of its forward pass.

    3 where most weights are trained: the forward pass, the gradients of the activations and those of the weights. 2
    where gradients only pass through, to low-rank updates or to what comes before; 1 where none are needed.

    Args:
        model (nn.Module): The model, with some parameters frozen.
    """
    total, trained = dict.fromkeys(COMPONENTS, 0), dict.fromkeys(COMPONENTS, 0)
    for name, parameter in model.named_parameters():
        component = component_of(name)
        total[component] += parameter.numel()
        trained[component] += parameter.numel() * parameter.requires_grad
    factors, any_trained = {}, False
    for component in ('vit', 'connector', 'llm'):
        any_trained = any_trained or trained[component] > 0
        factors[component] = 3 if 2 * trained[component] > total[component] else 2 if any_trained else 1
    return factors


def count_batch(batch: Mapping[str, Any], config: MolmoConfig, factors: Mapping[str, int]) -> BatchCounts:
    """Counts what a batch holds, padding left out.

    Args:
        batch (Mapping): A batch of the dataloader; see `data.collator`.
        config (MolmoConfig): The model.
        factors (Mapping[str, int]): From `flop_factors`.
    """
    shown = batch['image_input_idx'] >= 0
    crops = int(shown.any(-1).sum())
    loss_tokens = int((batch['loss_weights'] > 0).sum())
    tokens = int((batch['input_ids'] >= 0).sum())
    flops = count_flops(
        config,
        tokens=tokens,
        pairs=attended_pairs(batch['segment_ids']),
        loss_tokens=loss_tokens,
        crops=crops,
        pooled_tokens=int(shown.sum()),
    )
    return BatchCounts(
        samples=len(sample_ids(batch['metadata'])),
        images=_count_images(batch, config),
        crops=crops,
        tokens=tokens,
        loss_tokens=loss_tokens,
        loss_weight=float(batch['loss_weights'].double().sum()),
        vit=factors['vit'] * flops.vit,
        connector=factors['connector'] * flops.connector,
        llm=factors['llm'] * flops.llm,
        head=factors['llm'] * flops.head,
    )


def _count_images(batch: Mapping[str, Any], config: MolmoConfig) -> int:
    """Images, told by their start tokens: one for the picture of the whole and, if there are tiles, one for these."""
    starts = int((batch['input_ids'] == config.image_token_ids['<im_start>']).sum())
    return starts if config.vision.crop_mode == 'resize' else starts // 2


class MolmoMonitor(Callback):
    """Logs what the module's table lists, and stops at a loss that is no number.

    Args:
        window (int): Steps that rates are averaged over.
        peak_tflops (float, optional): Peak TFLOP/s of a device in the run's precision. Default: that of the GPU, if
            Composer knows it.
        bad_batch_folder (str, optional): Folder for ``bad-batch-step<N>.json``, which names the samples of a batch
            whose loss is NaN or infinite. Default: the error alone names them.
        samples (Mapping, optional): Predictions to look at after an evaluation; see `train.sample_predictions`.
            Default: none.

    Raises:
        BadLossError: If the loss of a batch is not finite, before the weights move.
        ValueError: If `window` is below 1.
    """

    def __init__(
        self,
        window: int = 20,
        peak_tflops: Optional[float] = None,
        bad_batch_folder: Optional[str] = None,
        samples: Optional[Mapping[str, Any]] = None,
    ) -> None:
        if window < 1:
            raise ValueError(f'molmo_monitor: window={window} must be at least 1.')
        self.peak_flops = None if peak_tflops is None else peak_tflops * 1e12
        self.watch = LossWatch(bad_batch_folder)
        self.streams = StreamLoss()
        self.samples = None if samples is None else SamplePredictions(SampleSettings.parse(samples))
        self.steps: deque[tuple[torch.Tensor, float, float]] = deque(maxlen=window)
        self.factors: dict[str, int] = {}
        self.rows: list[Mapping[str, Any]] = []
        self.counts = torch.zeros(len(COUNTED), dtype=torch.float64)
        self.started = self.wait = 0.0

    def fit_start(self, state: State, logger: Logger) -> None:
        """Looks at what is trained, and at the device."""
        self.factors = flop_factors(state.model)
        if self.peak_flops is None and state.device.name == 'gpu':
            self.peak_flops = get_gpu_flops_available(state) or None

    def before_dataloader(self, state: State, logger: Logger) -> None:
        """A step starts."""
        self.started = time.perf_counter()

    def after_dataloader(self, state: State, logger: Logger) -> None:
        """The batch is there."""
        self.wait = time.perf_counter() - self.started

    def batch_start(self, state: State, logger: Logger) -> None:
        """Counts the batch while it lies on the CPU."""
        model: Any = getattr(state.model, 'module', state.model)
        config = model.molmo_config
        counts = count_batch(state.batch, config, self.factors)
        self.counts = torch.tensor([getattr(counts, name) for name in COUNTED], dtype=torch.float64)
        self.rows = state.batch['metadata']

    def before_train_batch(self, state: State, logger: Logger) -> None:
        """Forgets what a batch gave that Composer starts over, for it found no memory."""
        self.streams.clear()

    def after_loss(self, state: State, logger: Logger) -> None:
        """Looks at the loss of a microbatch."""
        self.watch.see(state.loss)
        outputs: Any = state.outputs
        self.streams.add(state.batch, outputs.loss_sums)

    def after_train_batch(self, state: State, logger: Logger) -> None:
        """Stops before the optimizer moves the weights by a bad loss."""
        self.watch.check(state, self.rows)

    def batch_end(self, state: State, logger: Logger) -> None:
        """Adds up over ranks and logs."""
        seconds = time.perf_counter() - self.started
        counts = state.device.tensor_to_device(self.counts)
        sums = torch.cat([counts, self.streams.vector(counts.device)])
        dist.all_reduce(sums)
        slowest = state.device.tensor_to_device(torch.tensor([seconds, self.wait], dtype=torch.float64))
        dist.all_reduce(slowest, reduce_operation='MAX')
        totals, of_streams = sums.cpu().split([len(COUNTED), len(sums) - len(COUNTED)])
        self.steps.append((totals, *slowest.tolist()))
        metrics = {**self._rates(), **_of_batch(totals), **self.streams.metrics(of_streams.tolist())}
        logger.log_metrics({**metrics, **_memory(state), **_packing(state, self.rows)})

    def eval_end(self, state: State, logger: Logger) -> None:
        """Logs the held-out loss by stream, and samples."""
        label = str(state.dataloader_label)
        metric = state.eval_metrics.get(label, {}).get('ce')
        if isinstance(metric, CrossEntropy):
            by_stream = metric.by_stream().items()
            logger.log_metrics({f'metrics/{label}/{name}': value for name, value in by_stream if name.endswith('/ce')})
        if self.samples is not None:
            self.samples.log(state, logger)

    def _rates(self) -> dict[str, float]:
        ranks = dist.get_world_size()
        seconds = sum(step[1] for step in self.steps)
        sums = dict(zip(COUNTED, torch.stack([step[0] for step in self.steps]).sum(0).tolist()))
        rates = {f'{name}_per_second': sums[name] / seconds for name in RATES}
        metrics = {f'throughput/{name}': rate for name, rate in rates.items()}
        metrics |= {f'throughput/device/{name}': rate / ranks for name, rate in rates.items()}
        metrics['throughput/data_wait_fraction'] = sum(step[2] for step in self.steps) / seconds
        flops = {part: sums[part] / seconds / ranks for part in FLOP_PARTS}
        metrics |= {f'flops/device/{part}_tflops': rate / 1e12 for part, rate in flops.items()}
        if self.peak_flops:
            metrics['flops/device/mfu'] = sum(flops.values()) / self.peak_flops
        return metrics


def _of_batch(totals: torch.Tensor) -> dict[str, float]:
    return {f'batch/{name}': value for name, value in zip(COUNTED, totals.tolist()) if name not in FLOP_PARTS}


def _memory(state: State) -> dict[str, float]:
    if state.device.name != 'gpu':
        return {}
    peak = torch.tensor(float(torch.cuda.max_memory_allocated()), device='cuda')
    dist.all_reduce(peak, reduce_operation='MAX')
    return {'memory/peak_gb': peak.item() / 1e9}


def _packing(state: State, rows: list[Mapping[str, Any]]) -> dict[str, float]:
    planner = getattr(getattr(state.dataloader, 'dataset', None), 'planner', None)
    if planner is None:
        return {}
    own = torch.tensor(batch_sums(rows, list(planner.mixture.streams)), dtype=torch.float64)
    sums = state.device.tensor_to_device(own)
    dist.all_reduce(sums)
    return batch_metrics(sums.tolist(), rows[0], planner.settings.max_seq_len, planner.settings.max_crops_per_pack)

# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What keeps Composer's checkpoints from filling a disk, and a killed run from tripping over its own.

Composer writes a checkpoint first and points `latest` to it after that, so half of one never becomes the latest. But it
leaves that half behind, in whose way a resumed run stops; forgets, when resumed, the checkpoints it has yet to delete;
and learns of a full disk in the middle of writing. `GuardedSaver` mends these three. And it looks for the latest
checkpoint in W&B too, where none is unless artifacts are logged, and fails if W&B is offline: `look_past_wandb`.
"""

import multiprocessing
import os
import shutil
import signal
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Sequence

import torch
from composer.callbacks import CheckpointSaver
from composer.core import State
from composer.loggers import Logger, WandBLogger
from composer.utils import dist
from composer.utils.file_helpers import format_name_with_dist
from torch.distributed.tensor import DTensor

SIZE_MARGIN = 1.05
"""Bytes of a checkpoint against those of its tensors: the rest of it is small."""

UPLOAD_CHECK_SECONDS = 1.0
"""How often to look whether all shards are uploaded, before `latest` is; Composer's 30 s would outlast a preemption."""


class NotEnoughSpaceError(ValueError):
    """A disk has no room for the next checkpoint."""


class GuardedSaver:
    """Composer's saver of checkpoints with care around it.

    Args:
        saver (CheckpointSaver): The run's own; it calls the guard from now on.
        signals (Sequence[int]): Signals that the processes which upload checkpoints are kept from seeing.
    """

    def __init__(self, saver: CheckpointSaver, signals: Sequence[int] = ()):
        self.saver = saver
        self.signals = signals
        self._save = saver._save_checkpoint
        saver._save_checkpoint = self._guarded_save
        saver._symlink_upload_wait_before_next_try_in_seconds = UPLOAD_CHECK_SECONDS

    def prepare(self, state: State) -> None:
        """Clears what a killed run left of its last checkpoint, and takes over the ones it had finished.

        Every rank calls it, after a checkpoint was loaded and before training goes on.
        """
        folder = Path(format_name_with_dist(self.saver.folder, state.run_name))
        if dist.get_local_rank() == 0:
            remove_unfinished(folder)
        dist.barrier()
        self._start_uploaders()
        known = self.saver.all_saved_checkpoints_to_timestamp
        self.saver.saved_checkpoints = [path for path in known if os.path.exists(path)]

    def save_now(self, state: State, logger: Logger) -> None:
        """Saves this step unless that is done, and waits until it is uploaded, if it is to be; the last save of all."""
        if self.saver.last_checkpoint_batch != state.timestamp.batch:
            self._guarded_save(state, logger)
        self.saver.fit_end(state, logger)
        dist.barrier()
        self._end_uploaders()

    def _start_uploaders(self) -> None:
        """Starts the processes that upload, deaf to signals; to import Composer there may outlast a preemption."""
        uploader = self.saver.remote_uploader
        if uploader is None:
            return
        with _blocked(self.signals):
            uploader.is_remote_upload_failed = multiprocessing.get_context('spawn').Manager().Event()
            executors = (uploader.upload_executor, uploader.check_remote_files_exist_executor)
            for started in [executor.submit(dist.get_global_rank) for executor in executors]:
                started.result()

    def _end_uploaders(self) -> None:
        """Ends the processes that uploaded. Some may still import Composer, for which its own ending would wait."""
        uploader = self.saver.remote_uploader
        if uploader is None:
            return
        for executor in (uploader.upload_executor, uploader.check_remote_files_exist_executor):
            processes = list((executor._processes or {}).values())
            executor.shutdown(wait=False)
            for process in processes:
                process.kill()

    def _guarded_save(self, state: State, logger: Logger) -> None:
        check_space(Path(format_name_with_dist(self.saver.folder, state.run_name)), state)
        with _blocked(self.signals):
            self._save(state, logger)


def look_past_wandb(logger: Logger) -> None:
    """Keeps `autoresume` from asking W&B for checkpoints that were never sent there."""
    for destination in logger.destinations:
        if isinstance(destination, WandBLogger) and not destination._log_artifacts:
            destination.download_file = _nothing_there


def _nothing_there(remote_file_name: str, *_: Any, **__: Any) -> None:
    raise FileNotFoundError(remote_file_name)


def find_saver(state: State) -> CheckpointSaver:
    """The run's saver of checkpoints.

    Raises:
        ValueError: If the run saves none.
    """
    savers = [callback for callback in state.callbacks if isinstance(callback, CheckpointSaver)]
    if not savers:
        raise ValueError('molmo_preemption has nowhere to save to: set save_folder, or remove it from the callbacks.')
    return savers[0]


def remove_unfinished(folder: Path) -> list[Path]:
    """Deletes checkpoints that were being written when a run was killed.

    A file in one piece ends with its directory, as every zip file; a sharded checkpoint is finished by its index.

    Args:
        folder (Path): A run's checkpoints.

    Returns:
        list[Path]: What was deleted.
    """
    if not folder.is_dir():
        return []
    files = [path for path in folder.glob('ep*-ba*.pt') if not path.is_symlink() and not zipfile.is_zipfile(path)]
    folders = [
        path for path in folder.glob('ep*-ba*') if path.is_dir() and any(path.glob('*.distcp')) and not _has_index(path)
    ]
    for path in files:
        path.unlink()
    for path in folders:
        shutil.rmtree(path)
    return files + folders


def _has_index(checkpoint: Path) -> bool:
    return (checkpoint / '.metadata').is_file()


def checkpoint_bytes(state: State) -> int:
    """Bytes of a full checkpoint of this run: weights, and the moments that optimizers have or are going to have.

    Args:
        state (State): Of the run.
    """
    weights = sum(tensor.numel() * tensor.element_size() for tensor in state.model.state_dict().values())
    moments = 0
    for optimizer in state.optimizers:
        for slots in optimizer.state.values():
            moments += sum(
                slot.numel() * slot.element_size()
                for slot in slots.values()
                if isinstance(slot, (torch.Tensor, DTensor))
            )
    return weights + moments


def check_space(folder: Path, state: State) -> None:
    """Makes sure, on every node, that the next checkpoint fits before any of it is written.

    Args:
        folder (Path): Where checkpoints are written, before they are uploaded if they are.
        state (State): Of the run.

    Raises:
        NotEnoughSpaceError: On all ranks, if one has too little space.
    """
    needed = int(SIZE_MARGIN * checkpoint_bytes(state))
    if state.fsdp_sharded_state_dict_enabled:  # each node writes its own ranks' shards
        needed = needed * dist.get_local_world_size() // dist.get_world_size()
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    short = state.device.tensor_to_device(torch.tensor(max(0, needed - free), dtype=torch.int64))
    dist.all_reduce(short, reduce_operation='MAX')
    if short.item():
        raise NotEnoughSpaceError(
            f'The checkpoint of step {state.timestamp.batch.value} takes about {needed / 1e9:.2f} GB a node, and '
            f'{folder.resolve()} has {free / 1e9:.2f} GB left here (some node lacks {short.item() / 1e9:.2f} GB). '
            'Nothing was written. Make room, or lower save_num_checkpoints_to_keep; then resume from the latest one.'
        )


@contextmanager
def _blocked(signals: Sequence[int]) -> Iterator[None]:
    """Processes started meanwhile never see these signals; this one sees them afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Reading pickles that Composer and torch write, and refusing all others: a pickle can run any code it names."""

import datetime
import pickle
import re
import zipfile
from pathlib import Path
from typing import IO, Any, Union

import numpy as np
import torch
from torch.distributed.checkpoint import filesystem, metadata
from torch.torch_version import TorchVersion

_RECONSTRUCT = np.zeros(0).__reduce__()[0]

TRAINING_STATE: list[Any] = [
    datetime.timedelta,
    TorchVersion,
    np.ndarray,
    np.dtype,
    *{type(np.dtype(kind)) for kind in '?bBhHiIqQefd'},
    *((_RECONSTRUCT, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
]
"""What a training state holds beside tensors and plain values: times, and the state of numpy's random generator."""

_GLOBAL = re.compile(r'(?:Unsupported global: GLOBAL|unsupported GLOBAL) (\S+)')
"""How torch names what it refuses."""

_METADATA = {
    ('pathlib', 'PosixPath'),
    ('pathlib', 'WindowsPath'),
    ('torch', 'Size'),
    ('torch.serialization', '_get_layout'),
    (filesystem.__name__, '_StorageInfo'),
    *((metadata.__name__, name) for name in (*metadata.__all__, '_MEM_FORMAT_ENCODING')),
}


class _MetadataUnpickler(pickle.Unpickler):
    """Knows the classes of a distributed checkpoint's metadata only."""

    def find_class(self, module: str, name: str) -> Any:
        is_dtype = module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype)
        if not is_dtype and (module, name) not in _METADATA:
            raise pickle.UnpicklingError(f'{module}.{name} is no part of it')
        return super().find_class(module, name)


def load_torch(file: Union[Path, IO[bytes]], *, name: str) -> Any:
    """What `torch.save` wrote; tensors of a path are mapped, not read.

    Args:
        file (Path | IO): The file.
        name (str): For messages.

    Raises:
        ValueError: If the file is damaged, or holds what is neither a tensor nor part of a training state.
    """
    mapped = isinstance(file, Path) and zipfile.is_zipfile(file)
    try:
        with torch.serialization.safe_globals(TRAINING_STATE):
            return torch.load(file, map_location='cpu', weights_only=True, mmap=mapped or None)
    except pickle.UnpicklingError as error:
        found = _GLOBAL.search(str(error))
        raise ValueError(
            f'{name} holds {found[1] if found else "objects"}, neither tensor nor plain value, which is not read: '
            'it could run code.'
        ) from error
    except (EOFError, KeyError, OSError, RuntimeError) as error:
        raise ValueError(f'{name} is damaged, or no file of torch.save: {error}') from error


def load_metadata(path: Path) -> metadata.Metadata:
    """The metadata of a distributed checkpoint.

    Raises:
        ValueError: If the file is damaged, or names anything but metadata.
    """
    try:
        with path.open('rb') as file:
            loaded = _MetadataUnpickler(file).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, TypeError) as error:
        raise ValueError(f'{path} is not the metadata of a checkpoint, or could run code: {error}.') from error
    if not isinstance(loaded, metadata.Metadata):
        raise ValueError(f'{path} is not the metadata of a checkpoint.')
    return loaded

# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""Own data as any data set that `datasets` loads without running code: one of the hub, or a local copy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Optional

from molmo_foundry.data.sources.columns import ColumnMap, column_map
from molmo_foundry.data.sources.rows import Found, Row


@dataclass(frozen=True)
class HubData:
    """A data set.

    Attributes:
        id: Hub id or local folder.
        config: Its configuration (subset), if it has several.
        revision: Commit, tag or branch; None: the newest commit.
    """

    id: str
    config: Optional[str] = None
    revision: Optional[str] = None

    def splits(self) -> list[str]:
        """The names of its splits.

        Raises:
            ValueError: If there is no such data set, it is out of reach, or it would have to run code.
        """
        import datasets

        return self._asked(datasets.get_dataset_split_names, self.id, self.config, **self._safely())

    def rows(self, split: str, columns: Optional[ColumnMap] = None) -> Iterator[Found]:
        """The rows of a split, read as a stream; images as files, class labels as their names.

        Raises:
            ValueError: If the split cannot be loaded, or lacks a column.
        """
        import datasets

        table: Any = self._asked(
            datasets.load_dataset, self.id, self.config, split=split, streaming=True, **self._safely()
        )
        names = table.features or next(iter(table.take(1)), {})
        chosen = column_map(columns, names, f'{self.id}, split {split},')
        table = table.select_columns(sorted(set(chosen.columns.values())))
        features = table.features or {}
        for name, feature in features.items():
            if (encoded := _encoded(feature)) is not None:
                table = table.cast_column(name, encoded)
        classes = {name: kind for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)}
        for number, row in enumerate(table):
            row.update({name: kind.int2str(row[name]) for name, kind in classes.items() if row[name] is not None})
            where = f'{self.id}, split {split}, row {number}'
            yield Row(chosen.apply(row), f'{split}-{number:08d}', where, Path())

    def commit(self) -> Optional[str]:
        """The commit that is read; None of a local folder.

        Raises:
            ValueError: If the hub is out of reach.
        """
        if Path(self.id).exists():
            return None
        from huggingface_hub import HfApi

        return self._asked(HfApi().dataset_info, self.id, revision=self.revision).sha

    def _safely(self) -> dict[str, Any]:
        """Left to itself, `datasets` asks on the terminal whether to run a data set's code."""
        return {'revision': self.revision, 'trust_remote_code': False}

    def _asked(self, ask: Any, *args: Any, **kwargs: Any) -> Any:
        """What the hub's libraries answer; they fail in a dozen ways, none of which is ours to tell apart."""
        try:
            return ask(*args, **kwargs)
        except Exception as error:
            raise ValueError(
                f'{self.id} is no file or folder here, and cannot be loaded as a data set of the hub: '
                f'{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ""}'
            ) from error


def _encoded(feature: Any) -> Any:
    """The feature of images that stay encoded files, for a feature of images or lists of images; None for others."""
    import datasets

    encoded = datasets.Image(decode=False)
    if isinstance(feature, datasets.Image):
        return encoded
    if isinstance(feature, datasets.Sequence) and isinstance(feature.feature, datasets.Image):
        return datasets.Sequence(encoded)
    return [encoded] if isinstance(feature, list) and isinstance(feature[0], datasets.Image) else None

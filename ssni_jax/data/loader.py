"""Batches: shuffled without end for training, each row exactly once for evaluation."""

import dataclasses
import functools
import sys
from collections.abc import Iterator, Sequence

import grain
import numpy as np
from jaxtyping import Bool, Int

from ssni_jax.data.source import InMemory, Rows, Source, take

N_DECODERS = 16
AHEAD_BYTES = 256 * 2**20  # of float32 images that training reads ahead of the device


@dataclasses.dataclass(frozen=True)
class Shuffled:
    """Training batches by number, without end; every epoch has its own order and none loses a row.

    Global batch n does not depend on the number of processes: each takes its own slice of it.
    """

    source: Source
    batch_size: int
    seed: int = 0
    process_index: int = 0
    process_count: int = 1

    def __post_init__(self):
        process_slice(self.batch_size, self.process_index, self.process_count)

    def ids(self, n: int) -> Int[np.ndarray, " B"]:
        """Which rows of the source this process takes for batch n."""
        mine = process_slice(self.batch_size, self.process_index, self.process_count)
        epochs, places = np.divmod(n * self.batch_size + np.arange(mine.start, mine.stop), len(self.source))
        orders = {epoch: order(len(self.source), self.seed, int(epoch)) for epoch in np.unique(epochs)}
        return np.array([orders[epoch][place] for epoch, place in zip(epochs, places, strict=True)])

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: int) -> Rows:
        return take(self.source, self.ids(index))


def training_batches(
    source: Source, batch_size: int, seed: int = 0, process_index: int = 0, process_count: int = 1
) -> grain.DatasetIterator[Rows]:
    """This process's share of each shuffled batch of `batch_size`, read ahead in threads; resumes by set_state.

    The state is a JSON-like dict with the number of the next batch, so it also fits another number of processes.
    """
    batches = Shuffled(source, batch_size, seed, process_index, process_count)
    n_threads = 1 if isinstance(source, InMemory) else N_DECODERS
    n_ahead = batches_ahead(source.image_shape, batch_size // process_count, n_threads)
    options = grain.ReadOptions(num_threads=min(n_threads, n_ahead), prefetch_buffer_size=n_ahead)
    return iter(grain.MapDataset.source(batches).to_iter_dataset(options))


def batches_ahead(image_shape: tuple[int, ...], batch_size: int, n_threads: int) -> int:
    """How many batches are read ahead: two per thread, at most as many as fit into `AHEAD_BYTES`, and at least two."""
    batch_bytes = 4 * batch_size * int(np.prod(image_shape))
    return max(2, min(2 * n_threads, AHEAD_BYTES // batch_bytes))


def evaluation_batches(
    source: Source, batch_size: int, ids: Sequence[int] | None = None, process_index: int = 0, process_count: int = 1
) -> Iterator[Rows]:
    """Rows `ids` of the source (all by default) in order, exactly once, in batches of one shape.

    "mask" is False on the rows that only pad the last batch; every process takes its slice of each batch.
    """
    mine = process_slice(batch_size, process_index, process_count)
    chosen = np.arange(len(source)) if ids is None else np.asarray(ids, np.int64)
    if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(source):
        raise ValueError(
            f"ids go from {chosen.min()} to {chosen.max()}, but the source has rows 0 to {len(source) - 1}."
        )
    for start in range(0, len(chosen), batch_size):
        wanted = padded({"id": chosen[start : start + batch_size]}, batch_size)
        yield {**take(source, wanted["id"][mine]), "mask": wanted["mask"][mine]}


def padded(batch: Rows, n: int) -> Rows:
    """`batch` filled up to `n` rows with copies of its last row, which "mask" marks False."""
    have = len(next(iter(batch.values())))
    if not 0 < have <= n:
        raise ValueError(f"a batch of {have} rows cannot be padded to {n}; give between 1 and {n} rows.")
    rows = np.minimum(np.arange(n), have - 1)
    mask: Bool[np.ndarray, " B"] = np.arange(n) < have
    return {**{name: value[rows] for name, value in batch.items()}, "mask": mask}


def process_slice(batch_size: int, process_index: int, process_count: int) -> slice:
    """The rows of a global batch that belong to one process."""
    if batch_size < 1 or batch_size % process_count:
        raise ValueError(f"a batch of {batch_size} does not divide over {process_count} processes; choose a multiple.")
    n = batch_size // process_count
    return slice(process_index * n, (process_index + 1) * n)


@functools.lru_cache(maxsize=4)
def order(n_rows: int, seed: int, epoch: int) -> Int[np.ndarray, " N"]:
    """The permutation of one epoch; RandomState, because NumPy promises that its stream never changes."""
    return np.random.RandomState((seed, epoch)).permutation(n_rows)

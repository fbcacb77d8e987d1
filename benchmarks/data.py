"""What reading images costs: one core, each source over the same image files, and all cores with worker processes.

    python benchmarks/data.py images.zip [--images 500] [--size 224] [--seconds 3]

Prints one JSON line. The images of the archive (class folders, or labels that lead the names) are written as a folder,
tfrecord and array_record shards and, where pyarrow is installed, parquet files; each source then decodes, resizes and
crops them in this process, from the page cache. `images_per_core_s` counts seconds of one core's time, and
`workers_images_per_s` seconds of the clock while `workers` processes decode the zip archive.
"""

import argparse
import importlib.util
import json
import os
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ssni_jax.data import ImageFolder, Parquet, TfdsDirectory, take, workers
from ssni_jax.data.encoded import EncodedImage, EncodedImages
from ssni_jax.data.shards import masked_checksum

N_SHARDS = 4
N_AT_ONCE = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(options.archive, Path(folder), options)))


def measure(archive: Path, root: Path, options: argparse.Namespace) -> dict:
    """Images per second of each source, one core each, and of the first one with workers."""
    size = options.size
    zipped = ImageFolder(str(archive), size=size)
    if not zipped.n_classes:
        zipped = ImageFolder(str(archive), size=size, labels="name")
    images = [zipped.encoded(i) for i in range(min(options.images, len(zipped)))]
    with zipfile.ZipFile(archive) as content:
        content.extractall(root / "folder")
    sources: dict[str, EncodedImages] = {
        "zip": zipped,
        "folder": ImageFolder(str(root / "folder"), size=size, labels=zipped.labels),
        "tfrecord": TfdsDirectory(prepared(root / "tfrecord", images, "tfrecord"), size=size),
        "array_record": TfdsDirectory(prepared(root / "array_record", images, "array_record"), size=size),
    }
    if importlib.util.find_spec("pyarrow"):
        sources["parquet"] = Parquet(parquet_files(root / "parquet", images), "test", size=size)
    with no_workers():
        clock = time.process_time  # of this process alone, whatever else runs on the machine
        speeds = {
            name: speed(source, len(images), options.seconds, clock, N_AT_ONCE) for name, source in sources.items()
        }
    n = workers.n_workers(os.environ)
    row = {"benchmark": "data", "images": len(images), "size": size, "megabytes": round(megabytes(images), 1)}
    row |= {"images_per_core_s": speeds, "workers": n}
    if n:
        workers.WORTH_PIXELS = 1
        take(zipped, range(max(workers.FEWEST_ROWS, n)))  # the workers start
        row |= {"workers_images_per_s": speed(zipped, len(images), options.seconds, time.perf_counter, 256)}
    return row


def speed(source: EncodedImages, n: int, seconds: float, clock: Callable[[], float], n_at_once: int) -> float:
    """Images per second, in batches from the beginning to the end and over again, after one that opens the files."""
    take(source, range(min(n, n_at_once)))
    start, n_read = clock(), 0
    while clock() - start < seconds:
        ids = (n_read + np.arange(n_at_once)) % n
        n_read += len(take(source, ids)["id"])
    return round(n_read / (clock() - start), 1)


class no_workers:
    """A context in which everything is decoded in this process."""

    def __enter__(self) -> None:
        self.before = os.environ.get(workers.DECODERS)
        os.environ[workers.DECODERS] = "0"

    def __exit__(self, *_: object) -> None:
        os.environ.pop(workers.DECODERS)
        if self.before is not None:
            os.environ[workers.DECODERS] = self.before


def megabytes(images: Iterable[EncodedImage]) -> float:
    return sum(len(image.content) for image in images) / 2**20


def prepared(root: Path, images: list[EncodedImage], file_format: str) -> str:
    """A prepared data set of one split, "test"."""
    root.mkdir()
    parts = [images[i::N_SHARDS] for i in range(N_SHARDS)]
    write = {"tfrecord": write_tfrecord, "array_record": write_array_record}[file_format]
    for i, part in enumerate(parts):
        write(root / f"images-test.{file_format}-{i:05}-of-{N_SHARDS:05}", [example(image) for image in part])
    splits = [{"name": "test", "shardLengths": [str(len(part)) for part in parts]}]
    info = {"name": "images", "version": "1.0.0", "fileFormat": file_format, "splits": splits}
    (root / "dataset_info.json").write_text(json.dumps(info))
    kinds = {
        "image": {"image": {"shape": {"dimensions": ["-1", "-1", "3"]}}},
        "label": {"classLabel": {"numClasses": "1000"}},
    }
    (root / "features.json").write_text(json.dumps({"featuresDict": {"features": kinds}}))
    return str(root)


def write_tfrecord(file: Path, records: list[bytes]) -> None:
    with file.open("wb") as out:
        for record in records:
            length = struct.pack("<Q", len(record))
            checksums = [struct.pack("<I", masked_checksum(content)) for content in (length, record)]
            out.write(length + checksums[0] + record + checksums[1])


def write_array_record(file: Path, records: list[bytes]) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(file), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()


def parquet_files(root: Path, images: list[EncodedImage]) -> str:
    """One file in row groups of 100 rows, as the hub writes them."""
    import pyarrow
    from pyarrow import parquet

    root.mkdir()
    structs = [{"bytes": image.content, "path": None} for image in images]
    table = pyarrow.table({"image": structs, "label": [image.label for image in images]})
    parquet.write_table(table, root / "test-00000-of-00001.parquet", row_group_size=100)
    return str(root)


def example(image: EncodedImage) -> bytes:
    """A tf.train.Example of an image and its label, as protobuf writes it."""
    values = {"image": message(1, message(1, image.content)), "label": message(3, message(1, varint(image.label)))}
    entries = [message(1, message(1, name.encode()) + message(2, value)) for name, value in values.items()]
    return message(1, b"".join(entries))


def message(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


if __name__ == "__main__":
    main()

"""Prepared data sets written byte for byte: tfrecord by its published layout, array_record by its own library."""

import io
import json
import struct
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

Encoded = tuple[bytes, int]
CASTAGNOLI = 0x82F63B78
"""The polynomial of CRC-32C, bits reversed (RFC 3720, appendix B.4)."""


def photographs(n: int, side: int = 24) -> list[Encoded]:
    """JPEG files of pieces of the two photographs of scikit-learn, with three labels."""
    pieces = []
    for i in range(n):
        name = ("china.jpg", "flower.jpg")[i % 2]
        photo = Image.open(io.BytesIO((files("sklearn") / "datasets" / "images" / name).read_bytes()))
        left, top = 37 * i % 600, 53 * i % 390
        content = io.BytesIO()
        photo.crop((left, top, left + side + i % 3, top + side)).save(content, "JPEG", quality=90)
        pieces.append((content.getvalue(), i % 3))
    return pieces


def remainder(byte: int) -> int:
    """Of one byte, divided by the polynomial a bit at a time."""
    for _ in range(8):
        byte = byte >> 1 ^ (CASTAGNOLI if byte & 1 else 0)
    return byte


TABLE = [remainder(byte) for byte in range(256)]


def crc32c(content: bytes) -> int:
    """The checksum, a byte at a time."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def masked(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def tfrecord(records: Sequence[bytes]) -> bytes:
    """Length, checksum of the length, record, checksum of the record."""
    lengths = [struct.pack("<Q", len(record)) for record in records]
    parts = [length + masked(length) + record + masked(record) for length, record in zip(lengths, records, strict=True)]
    return b"".join(parts)


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def example(image: bytes, label: int) -> bytes:
    """A serialised tf.train.Example with the features of tfds, and one that nobody asks for."""
    values = {
        "file_name": message(1, message(1, b"a.jpg")),
        "image": message(1, message(1, image)),
        "label": message(3, message(1, varint(label))),
    }
    entries = [message(1, message(1, name.encode()) + message(2, value)) for name, value in values.items()]
    return message(1, b"".join(entries))


def write_tfds(root: Path, images: Sequence[Encoded], file_format: str, lengths: Sequence[int], n_classes=3) -> str:
    """A directory of one split, "test", in shards of these lengths."""
    root.mkdir(parents=True, exist_ok=True)
    ends = np.cumsum(lengths)
    for i, (end, length) in enumerate(zip(ends, lengths, strict=True)):
        records = [example(*image) for image in images[end - length : end]]
        file = root / f"toy-test.{file_format}-{i:05}-of-{len(lengths):05}"
        if file_format == "tfrecord":
            file.write_bytes(tfrecord(records))
        else:
            write_array_record(file, records)
    split = {"name": "test", "shardLengths": [str(n) for n in lengths]}
    info = {"name": "toy", "version": "1.0.0", "fileFormat": file_format, "splits": [split]}
    (root / "dataset_info.json").write_text(json.dumps(info))
    image = {"image": {"shape": {"dimensions": ["-1", "-1", "3"]}, "dtype": "uint8", "encodingFormat": "jpeg"}}
    features = {"image": image, "label": {"classLabel": {"numClasses": str(n_classes)}}}
    kinds = {"image": "image_feature.Image", "label": "class_label_feature.ClassLabel"}
    for name, feature in features.items():
        feature["pythonClassName"] = f"tensorflow_datasets.core.features.{kinds[name]}"
    whole = {"pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict"}
    (root / "features.json").write_text(json.dumps({**whole, "featuresDict": {"features": features}}))
    return str(root)


def write_array_record(file: Path, records: Sequence[bytes]) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(file), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()

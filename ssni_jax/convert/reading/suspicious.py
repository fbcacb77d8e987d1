"""Files that are no checkpoint at all, each told by its first bytes and named as what it is."""

import mmap
import re

from ssni_jax.convert.reading.errors import CheckpointError

ARCHIVES = {
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"\x28\xb5\x2f\xfd": "a zstandard archive",
}
OTHERS = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file (Keras)",
    b"\x93NUMPY": "numpy's .npy",
    b"GGUF": "a GGUF file",
    b"PK\x05\x06": "an empty zip archive",
}
HTML = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)", re.IGNORECASE | re.DOTALL)
ONNX = re.compile(rb"\x08[\x03-\x0f](\x12|\x1a|\x3a)")
TAR_MAGIC = slice(257, 262)


def refuse_suspicious(content: mmap.mmap) -> None:
    """Raises if the file is a known kind of something else."""
    start = content[:1024]
    if HTML.match(start):
        raise CheckpointError("is a web page, not a checkpoint: the download failed; fetch the file itself")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError("is a git-LFS pointer, not the file it points to: run git lfs pull")
    if start[TAR_MAGIC] == b"ustar":
        raise CheckpointError(
            "is a tar archive: unpack it; if PyTorch wrote it (before 0.2), load it there and save it again"
        )
    for magic, name in ARCHIVES.items():
        if start.startswith(magic):
            raise CheckpointError(f"is {name}: unpack it and give the checkpoint inside it")
    for magic, name in OTHERS.items():
        if start.startswith(magic):
            raise CheckpointError(f"is {name}, which this reader does not read")
    if ONNX.match(start):
        raise CheckpointError("is an ONNX model, which this reader does not read: convert the checkpoint it came from")


def unknown(content: mmap.mmap) -> CheckpointError:
    """The error of a file that nothing recognises."""
    start = content[:1024]
    if all(byte in b"\t\n\r" or 32 <= byte < 127 or byte >= 128 for byte in start) and _is_text(start):
        return CheckpointError(f"is plain text ({start[:40]!r}), not a checkpoint")
    return CheckpointError(f"is no checkpoint that this reader knows; it begins with {start[:16]!r}")


def _is_text(start: bytes) -> bool:
    # The last character may be cut in the middle.
    return any(_decodes(start[: len(start) - cut]) for cut in range(min(4, len(start))))


def _decodes(start: bytes) -> bool:
    try:
        start.decode()
    except UnicodeDecodeError:
        return False
    return True

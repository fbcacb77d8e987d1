"""A zip archive whose directory is believed only where it agrees with the bytes of the file."""

import itertools
import mmap
import struct
import zipfile
import zlib

from ssni_jax.convert.reading.allowance import Allowance
from ssni_jax.convert.reading.errors import CheckpointError, damaged, shown
from ssni_jax.convert.reading.tensors import Content, Place

# Signature and the lengths of name and extra field, of the header before each file's bytes.
LOCAL_HEADER = struct.Struct("<4s22xHH")
ENCRYPTED = 1
PIECE = 16 << 20  # bytes of a checksum that are in memory at once


class Archive:
    """The files of an archive; none is unpacked before it is asked for, and no two share bytes."""

    def __init__(self, content: mmap.mmap, allowance: Allowance):
        self.content, self.allowance = content, allowance
        try:
            with zipfile.ZipFile(_Window(content)) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
            raise CheckpointError(
                f"is a zip archive without a whole directory ({shown(error)}): download it again"
            ) from None
        self.entries = {entry.filename: entry for entry in entries}
        if len(self.entries) != len(entries):
            raise CheckpointError("is a zip archive with two files of one name: do not load it")
        for entry in entries:
            allowance.spend("nodes")
            _check(entry)
        self.starts = {name: self._start(entry) for name, entry in self.entries.items()}
        self._check_overlaps()

    @property
    def names(self) -> set[str]:
        """Paths of all files."""
        return set(self.entries)

    def size(self, name: str) -> int:
        """Bytes of a file, once unpacked."""
        return self.entries[name].file_size

    def read(self, name: str) -> bytes:
        """The bytes of a file, which agree with its checksum."""
        entry, start = self.entries[name], self.starts[name]
        packed = self.content[start : start + entry.compress_size]
        unpacked = packed if entry.compress_type == zipfile.ZIP_STORED else self._inflated(packed, entry)
        self._check_sum(entry, unpacked, 0)
        return unpacked

    def place(self, name: str) -> Place:
        """Where the bytes of a file stand, which agree with its checksum; plainly stored ones stay where they are."""
        entry, start = self.entries[name], self.starts[name]
        if entry.compress_type != zipfile.ZIP_STORED:
            return Place(self.read(name), 0)
        self._check_sum(entry, self.content, start)
        return Place(self.content, start)

    def _check_sum(self, entry: zipfile.ZipInfo, content: Content, start: int) -> None:
        """Refuses bytes that are not those which were written."""
        checksum, end = 0, start + entry.file_size
        with memoryview(content) as whole:
            for at in range(start, end, PIECE):
                checksum = zlib.crc32(whole[at : min(at + PIECE, end)], checksum)
        if checksum == entry.CRC:
            return
        if not any(other.CRC for other in self.entries.values()):
            raise CheckpointError(
                "has no checksums, so damage to it could not be seen: load it in PyTorch, call "
                "torch.serialization.set_crc32_options(True), and save it again"
            )
        raise damaged(f"{shown(entry.filename)} has the CRC-32 {checksum:08x} where its directory says {entry.CRC:08x}")

    def _inflated(self, packed: bytes, entry: zipfile.ZipInfo) -> bytes:
        self.allowance.spend("bytes", entry.file_size)
        try:
            found = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, entry.file_size + 1)
        except zlib.error as error:
            raise damaged(f"{shown(entry.filename)} cannot be unpacked ({shown(error)})") from None
        if len(found) != entry.file_size:
            raise damaged(f"{shown(entry.filename)} unpacks to another size than its directory says")
        return found

    def _start(self, entry: zipfile.ZipInfo) -> int:
        """The first byte of a file's content, which follows its own header."""
        at = entry.header_offset
        header = self.content[at : at + LOCAL_HEADER.size] if at >= 0 else b""
        if len(header) < LOCAL_HEADER.size:
            raise damaged(f"{shown(entry.filename)} lies outside of the archive")
        signature, name_length, extra_length = LOCAL_HEADER.unpack(header)
        start = at + LOCAL_HEADER.size + name_length + extra_length
        if signature != b"PK\x03\x04" or start + entry.compress_size > len(self.content):
            raise damaged(f"{shown(entry.filename)} lies outside of the archive")
        return start

    def _check_overlaps(self) -> None:
        spans = sorted((e.header_offset, self.starts[name] + e.compress_size) for name, e in self.entries.items())
        if any(end > start for (_, end), (start, _) in itertools.pairwise(spans)):
            raise CheckpointError("is a zip archive whose files overlap: it may be made to exhaust this machine")


class _Window:
    """A memory map as the seekable file that `zipfile` wants; maps got `seekable` in Python 3.13."""

    def __init__(self, content: mmap.mmap):
        self.read, self.tell, self._seek = content.read, content.tell, content.seek

    def seek(self, offset: int, whence: int = 0) -> int:
        """Moves to a position and returns it, which a map's own `seek` does since 3.13."""
        self._seek(offset, whence)  # type: ignore[arg-type]
        return self.tell()

    def seekable(self) -> bool:
        """Always."""
        return True


def _check(entry: zipfile.ZipInfo) -> None:
    """Refuses what PyTorch never writes: paths that climb, encryption, other packing than deflate."""
    name = entry.filename
    if (
        "\\" in name
        or ":" in name.partition("/")[0]
        or not {"", ".", ".."}.isdisjoint(name.removesuffix("/").split("/"))
    ):
        raise CheckpointError(
            f"is a zip archive with the path {shown(name)}, which may leave its folder: do not load it"
        )
    if entry.flag_bits & ENCRYPTED:
        raise CheckpointError("is an encrypted zip archive: decrypt it first")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CheckpointError(f"is a zip archive packed by method {entry.compress_type}: pack it again with deflate")
    if entry.compress_type == zipfile.ZIP_STORED and entry.compress_size != entry.file_size:
        raise damaged(f"{shown(name)} is stored plainly but has two sizes")

"""What sources of records share: labels and the hash of the content from one pass over all rows."""

import abc

import numpy as np
from jaxtyping import Int

from ssni_jax.data.checked_rows import CheckedRows, RowRange, checked_rows
from ssni_jax.data.encoded import EncodedImages


class RecordImages(EncodedImages):
    """Encoded images in records; `fingerprint` is the sha256 of their image files and labels in order.

    It is the same in every format, and nothing but the rows themselves changes it.
    """

    path: str

    @property
    @abc.abstractmethod
    def row_range(self) -> RowRange:
        """Which rows these are, and a mark of the files that hold them."""

    @property
    def fingerprint(self) -> str:
        return self.checked().sha256

    def known_labels(self) -> Int[np.ndarray, " N"]:
        """The labels of all images; the first time, all records are read for them."""
        return np.array(self.checked().labels, np.int64)

    def checked(self) -> CheckedRows:
        """What is known of all rows after decoding them; ValueError names what cannot be read or has another size."""
        known = checked_rows(self.row_range, self)
        if self.resize.side is None and len(known.sizes) > 1:
            (height, width), (row, *other) = known.sizes
            raise ValueError(
                f"image {row} of {self.path} has {other[0]} x {other[1]} pixels and image 0 {height} x {width}; give "
                "the source a size, so that all are resized and cropped alike."
            )
        return known

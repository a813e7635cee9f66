"""An index as bytes, which travel with a release: a header that says whose they are, and a checksum."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_hexdigest

from nearline.schema.errors import NearlineError
from nearline.schema.vectors import Embedding, Packed

MAGIC = b"NLINDEX1"
ALIGNED = 64
REMEDY = "it is built anew from the release's vectors; train again to have it beside them"


class Header(msgspec.Struct, frozen=True):
    """What an index was made of.

    Attributes:
        name, version, dimensions: of the embedding.
        index: what kind it is.
        n: vectors in it.
        checksum: XXH3 of what follows the header, in hex.
    """

    name: str
    version: str
    dimensions: int
    index: str
    n: int
    checksum: str = ""


def pack(header: Header, body: NDArray[np.uint8]) -> Packed:
    """Return bytes with a header before them."""
    head = msgspec.json.encode(msgspec.structs.replace(header, checksum=xxh3_64_hexdigest(body.data)))
    begin = len(MAGIC) + 8 + len(head)
    head += b" " * (-begin % ALIGNED)
    return np.concatenate((np.frombuffer(MAGIC + len(head).to_bytes(8, "little") + head, np.uint8), body))


def unpack(packed: Packed, embedding: Embedding, n: int) -> tuple[Header, Packed]:
    """Return the header and what follows it, without copying.

    Raises:
        NearlineError: it is damaged, or of another embedding.
    """
    name = f"{embedding.name}/index"
    try:
        size = int.from_bytes(packed[len(MAGIC) : len(MAGIC) + 8].tobytes(), "little")
        if packed[: len(MAGIC)].tobytes() != MAGIC or size > len(packed):
            raise ValueError("it does not begin as an index does")
        begin = len(MAGIC) + 8 + size
        header = msgspec.json.decode(packed[len(MAGIC) + 8 : begin].tobytes(), type=Header)
    except (msgspec.MsgspecError, ValueError) as error:
        raise NearlineError("release", name, f"damaged ({error}); {REMEDY}") from error
    ours = Header(embedding.name, embedding.version, embedding.dimensions, header.index, n, header.checksum)
    if header != ours:
        said = f"it holds {header.n:,} vectors of {header.name} {header.version} × {header.dimensions}"
        wanted = f"not {n:,} of {ours.name} {ours.version} × {ours.dimensions}"
        raise NearlineError("release", name, f"{said}, {wanted}; {REMEDY}")
    body = packed[begin:]
    if xxh3_64_hexdigest(body.data) != header.checksum:
        raise NearlineError("release", name, f"damaged (its checksum is another); {REMEDY}")
    return header, body


def unreadable(library: str, error: Exception) -> NearlineError:
    """Return the error to raise where a library does not read the bytes that it, or a version of it, once wrote."""
    said = f"it does not read it ({' '.join(str(error).split())}); {REMEDY}, with the {library} that serves"
    return NearlineError("release", f"index of {library}", said)

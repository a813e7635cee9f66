"""Dead letters: results that no try could deliver, in a file that people can read, until they are delivered again."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from nearline.schema.result import Result
from nearline.stores.durable import append, sync

NAME = "results_dead.jsonl"


class DeadLetter(msgspec.Struct, frozen=True):
    """A result that was given up.

    Attributes:
        to: the subscriber, without its secrets.
        reason: what it said last.
        at: ms UTC.
    """

    to: str
    reason: str
    at: int
    result: Result


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(DeadLetter).decode


class DeadLetters:
    """One JSON object a line; processes of one machine may share the folder.

    Args:
        folder: the tenant's.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._taken = folder / f"taken-{NAME}"

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Append; on disk on return.

        Raises:
            OSError: the disk refuses.
        """
        with self._locked():
            append(self.path, b"".join(_encode(letter) + b"\n" for letter in letters))

    def take(self) -> list[DeadLetter]:
        """Return what is there, and what was taken before and not seen through; of each subscriber and list the newest.

        They are kept until `done`. What is given up meanwhile is written to a file of its own.
        """
        with self._locked():
            if self.path.exists():
                append(self._taken, self.path.read_bytes())
                self.path.unlink()
                sync(self.path.parent)
        best: dict[tuple[str, str, str], DeadLetter] = {}
        for letter in _read(self._taken):
            place = letter.to, letter.result.user_id, letter.result.surface
            if place not in best or letter.result.age >= best[place].result.age:
                best[place] = letter
        return list(best.values())

    def done(self) -> None:
        """Forget what was taken: it is delivered, or written again."""
        self._taken.unlink(missing_ok=True)

    def forget(self, user_id: str) -> None:
        """Drop the letters of a user whose data is erased."""
        if not (self.path.exists() or self._taken.exists()):
            return
        with self._locked():
            for path in (self.path, self._taken):
                letters = _read(path)
                kept = [letter for letter in letters if letter.result.user_id != user_id]
                if len(kept) < len(letters):
                    draft = path.with_suffix(".draft")
                    draft.write_bytes(b"".join(_encode(letter) + b"\n" for letter in kept))
                    sync(draft)
                    draft.replace(path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _read(path: Path) -> list[DeadLetter]:
    out: list[DeadLetter] = []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            out += [_decode(line)] if line else []
        except msgspec.MsgspecError:
            continue  # half of a line, of a process that was killed as it wrote: its offset was not committed
    return out

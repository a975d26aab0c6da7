"""Hostile inputs for the fuzzer: each is made from (reader, seed, index) alone, so that any one can be made again.

A reader brings small valid files (seeds). An input is one of them, changed: bytes flipped, cut short, chunks deleted, repeated,
moved or overwritten, whole numbers set to their limits, two seeds spliced, and whatever the reader's own `mutate` knows of its format.
"""

import importlib
import importlib.util
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TABLES = ("tests.soak.fuzz_tables", "tests.soak.fuzz_scenes")   # each has READERS; one that is not there is passed over
WHOLE_NUMBERS = (0, 1, -1, 127, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
DIGITS = b"0123456789"
TEXTS = (b"-1", b"0", b"2147483647", b"4294967295", b"9223372036854775807", b"1e400", b"-1e-400", b"nan", b"inf", b"1e308", b"",
         b"..", b"../../etc/passwd", b"\n", b"\x00", b"\x1b[2J", b"\xff\xfe", b"null", b"{}", b"[]", b"9" * 400)


@dataclass(frozen=True)
class Reader:
    """What is fuzzed.

    name: its row in the table. suffix: of the file that the input is written to, with the dot. seeds: small valid files, the same bytes
    each time. read: reads one file. refusals: exceptions that count as a clear refusal when their text names the file.
    mutate: (bytes, rng) -> bytes, knows the format. file: the name that the input gets, where the reader insists on one.
    may_start: first words of the only command lines that it may start (a decoder in a process of its own), or
    ("os.fork",) where it may fork itself.
    only_mutate: no blind changes, where the container is ours and what it carries is what is tested.
    """
    name: str
    suffix: str
    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[Path], object]
    refusals: tuple[type[Exception], ...]
    mutate: Callable[[bytes, random.Random], bytes] | None = None
    file: str = ""
    may_start: tuple[str, ...] = ()
    only_mutate: bool = False

    @property
    def file_name(self) -> str:
        return self.file or f"hostile{self.suffix}"


def readers(tables: Sequence[str] = TABLES) -> dict[str, Reader]:
    """name -> reader, of all tables that are there."""
    found = [reader for table in tables if importlib.util.find_spec(table) for reader in importlib.import_module(table).READERS]
    return {reader.name: reader for reader in found}


def hostile(reader: Reader, seeds: Sequence[bytes], seed: int, index: int) -> bytes:
    """Input number `index`. One in two goes through the reader's own `mutate` (where it has one), the others through 1 to 8 blind changes;
    one in eight through both."""
    rng = random.Random(f"{reader.name} {seed} {index}")
    data = rng.choice(seeds)
    way = rng.random()
    if reader.mutate is not None and (way < 0.5 or reader.only_mutate):
        data = reader.mutate(data, rng)
        if way < 0.375 or reader.only_mutate:
            return data
    return havoc(data, rng, seeds)


def havoc(data: bytes, rng: random.Random, seeds: Sequence[bytes] = ()) -> bytes:
    """1 to 8 blind changes. seeds: what may be spliced in."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        data = rng.choice(CHANGES)(data, rng, seeds)
    return data


def _flip(data: bytes, rng: random.Random, seeds) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16)) if out else 0):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _overwrite(data: bytes, rng: random.Random, seeds) -> bytes:
    begin, end = _chunk(data, rng)
    return data[:begin] + rng.choice((bytes(end - begin), b"\xff" * (end - begin), rng.randbytes(end - begin))) + data[end:]


def _cut(data: bytes, rng: random.Random, seeds) -> bytes:
    return data[:rng.randrange(len(data) + 1)]


def _delete(data: bytes, rng: random.Random, seeds) -> bytes:
    begin, end = _chunk(data, rng)
    return data[:begin] + data[end:]


def _repeat(data: bytes, rng: random.Random, seeds) -> bytes:
    begin, end = _chunk(data, rng)
    return data[:end] + data[begin:end] * rng.choice((1, 1, 2, 16)) + data[end:]


def _move(data: bytes, rng: random.Random, seeds) -> bytes:
    begin, end = _chunk(data, rng)
    rest = data[:begin] + data[end:]
    to = rng.randrange(len(rest) + 1)
    return rest[:to] + data[begin:end] + rest[to:]


def _whole_number(data: bytes, rng: random.Random, seeds) -> bytes:
    """One field of 1, 2, 4 or 8 bytes becomes a number at a limit, in either byte order, or its neighbour."""
    size = rng.choice((1, 2, 4, 4, 4, 8))
    if len(data) < size:
        return data
    at = rng.randrange(len(data) - size + 1)
    order = rng.choice(("little", "little", "big"))
    value = rng.choice((*WHOLE_NUMBERS, int.from_bytes(data[at:at + size], order) + rng.choice((-1, 1))))
    return data[:at] + (value % (1 << 8 * size)).to_bytes(size, order) + data[at + size:]


def _real_number(data: bytes, rng: random.Random, seeds) -> bytes:
    value = rng.choice((float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 1e-40, -1.0, 0.0))
    packed = struct.pack(rng.choice(("<f", "<d", ">f")), value)
    if len(data) < len(packed):
        return data
    at = rng.randrange(len(data) - len(packed) + 1)
    return data[:at] + packed + data[at + len(packed):]


def _written_number(data: bytes, rng: random.Random, seeds) -> bytes:
    """A number that stands there in digits becomes another, or a word that is none."""
    at = rng.randrange(len(data) + 1)
    begin = next((i for i in range(at, min(at + 2000, len(data))) if data[i] in DIGITS), None)
    if begin is None:
        return data
    end = next((i for i in range(begin, len(data)) if data[i] not in DIGITS), len(data))
    return data[:begin] + rng.choice(TEXTS) + data[end:]


def _text(data: bytes, rng: random.Random, seeds) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(TEXTS) + data[at:]


def _splice(data: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """The head of this one, the tail of another."""
    other = rng.choice(seeds) if seeds else data
    return data[:rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1):]


def _chunk(data: bytes, rng: random.Random) -> tuple[int, int]:
    begin = rng.randrange(len(data) + 1)
    return begin, min(len(data), begin + rng.choice((1, 1, 2, 4, 8, 32, 256)))


CHANGES = (_flip, _flip, _overwrite, _cut, _delete, _repeat, _move, _whole_number, _whole_number, _real_number, _written_number,
           _written_number, _text, _splice)

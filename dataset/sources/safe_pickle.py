"""Pickles of NumPy arrays, lists and plain values, read without running what a stranger may have put into them.

Three walls. What may be named: NumPy's array, type and scalar, by stand-ins of ours; all else is refused by name before it is called.
What may be set up: only such arrays and types, from plain states; a type with fields could point beyond its own memory. What may be taken:
so many steps, and no value that is much larger than the bytes it came from (lists of one list, ten times in each other, are few bytes).
"""

import io
import math
import pickle
import re

import numpy as np

MAX_BYTES = 256 << 20
MAX_STEPS = 1_000_000       # reads of the stream: one or two a value, about a second in all
VALUES_A_BYTE = 64          # a list that stands in many places counts each time
PLAIN_TYPE = re.compile(r"[<>|=]?(O8?|\?|b1|[iu][1248]|f[248]|[US]\d{1,9})")


class Refused(ValueError):
    """What the pickle wants, in words that go after "wants"."""


def load_plain_pickle(data: bytes) -> object:
    """The value: arrays (of numbers, texts or plain values), lists, tuples, dicts, sets, numbers, texts, None.

    Raises: Refused for a pickle that asks for more; ValueError for one that is damaged or too large.
    """
    if len(data) > MAX_BYTES:
        raise Refused(f"{len(data)} bytes")
    try:
        value = _PlainOnly(_Steps(data)).load()
    except Refused:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{type(error).__name__}: {error}") from None
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        _check_extent(value, min(VALUES_A_BYTE * len(data), 4 * MAX_STEPS))
    return value


def check_text(array: np.ndarray) -> np.ndarray:
    """The same array, after a look at its letters: NumPy makes a str of any number, and Python trusts it to be a letter.

    Raises: ValueError for an array of type U with numbers that are no Unicode.
    """
    if array.dtype.kind == "U" and array.dtype.itemsize:
        letters = np.ascontiguousarray(array).reshape(-1).view(array.dtype.str[0].replace("|", "=") + "u4")
        if ((letters > 0x10FFFF) | ((letters >= 0xD800) & (letters < 0xE000))).any():
            raise ValueError("holds text that is no Unicode")
    return array


class _Steps(io.BytesIO):
    """Counts its reads, so that a pickle which unpacks to hundreds of millions of tiny orders ends early."""

    left = MAX_STEPS

    def read(self, *args):
        self._step()
        return super().read(*args)

    def readline(self, *args):
        self._step()
        return super().readline(*args)

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Refused(f"more than {MAX_STEPS} steps: save it as an array of numbers")


class _NdarrayName:
    """What a pickle may name but not call: numpy.ndarray, as the first argument of _reconstruct."""

    def __new__(cls, *args):
        raise Refused("numpy.ndarray called directly")


class _Type:
    """numpy.dtype, as pickles build it: a code, then a state that says the byte order. Types with fields are none of ours."""

    def __init__(self, code, *flags):
        if not isinstance(code, str):
            raise Refused(f"numpy.dtype of {type(code).__name__}")
        if not PLAIN_TYPE.fullmatch(code):
            raise Refused(f"numpy.dtype of {code[:40]!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state):
        if not (isinstance(state, tuple) and len(state) > 4 and isinstance(state[1], str) and state[1] in tuple("<>|=")
                and state[2] is state[3] is state[4] is None):
            raise Refused("numpy.dtype with fields or of another build")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array whose state follows."""

    def __setstate__(self, state):
        _, shape, kind, fortran, data = state
        if not isinstance(kind, _Type) or not all(type(length) is int and length >= 0 for length in shape):
            raise Refused(f"an array of shape {shape!r:.60}")
        there = len(data) if kind.dtype.hasobject else len(data) / max(1, kind.dtype.itemsize)
        if math.prod(shape) != there:
            raise Refused(f"an array of shape {shape!r:.60} with {there:g} values")
        super().__setstate__((1, tuple(shape), kind.dtype, bool(fortran), data))
        check_text(self)


def _reconstruct(subtype, shape, code):
    """NumPy's own, for its one use: an empty array whose state follows. A huge shape here would take huge memory."""
    if subtype is not _NdarrayName or shape != (0,):
        raise Refused(f"_reconstruct of shape {shape!r:.60}")
    return np.ndarray.__new__(_Array, (0,), "b")


def _frombuffer(data, kind, shape, order):
    """NumPy's own for arrays in protocol 5."""
    values = np.frombuffer(data, kind.dtype)
    if kind.dtype.hasobject or math.prod(shape) != len(values):
        raise Refused(f"an array of shape {shape!r:.60} from {len(data)} bytes")
    return check_text(values).reshape(shape, order=order)


def _scalar(kind, data):
    if kind.dtype.hasobject or not isinstance(data, bytes) or len(data) != kind.dtype.itemsize:
        raise Refused("numpy.scalar of another size than its type")
    return check_text(np.frombuffer(data, kind.dtype))[0] if data else kind.dtype.type()


_KNOWN = {"ndarray": _NdarrayName, "dtype": _Type, "_reconstruct": _reconstruct, "scalar": _scalar, "_frombuffer": _frombuffer}
_MODULES = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric"}


class _PlainOnly(pickle._Unpickler):  # the Python one: the C one lets a five-byte memo index take gigabytes
    dispatch = dict(pickle._Unpickler.dispatch)

    def find_class(self, module, name):
        if module not in _MODULES or name not in _KNOWN:
            raise Refused(f"{module[:60]}.{name[:60]}")
        return _KNOWN[name]

    def load_build(self):
        if not isinstance(self.stack[-2], (_Array, _Type)):  # or a state could be hung on the stand-ins, for all files to come
            raise Refused("to set up something that is no array")
        super().load_build()

    def load_frame(self):
        self.read(8)    # a frame is a way to read faster; unframed, every step is counted

    def load_bytearray8(self):
        raise Refused("a bytearray")    # taken whole before its bytes are seen

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.FRAME[0]] = load_frame
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def _check_extent(value: object, most: int) -> None:
    """Raises: Refused for a value with more parts than `most`, each counted as often as it stands somewhere; so for one within itself."""
    waiting, seen = [value], 0
    while waiting:
        part = waiting.pop()
        inside = _inside(part)
        seen += 1 + (part.size if isinstance(part, np.ndarray) else len(inside))
        if seen > most:
            raise Refused("a list that stands in itself, or a thousand times in others")
        waiting += [item for item in inside if isinstance(item, (list, tuple, dict, set, frozenset, np.ndarray))]


def _inside(value: object) -> list:
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, np.ndarray):
        return value.ravel().tolist() if value.dtype.hasobject else []
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else []

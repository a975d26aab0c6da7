"""Configs are nested frozen dataclasses; here they become plain JSON data, come back, and take strict overrides.

    to_dict(config)                                     -> dict of str, int, float, bool, None, list, dict
    from_dict(TrainConfig, data)                        -> TrainConfig, or ValueError
    override(config, ["optim.lr=1e-4", "seed=3"])       -> a changed copy, or ValueError

Field types that are understood: bool, int, float, str, None, Literal, tuple[X, ...], tuple[X, Y], dict[str, X],
X | None and other unions, and further dataclasses. An int fits a float field (and becomes one); nothing else is promoted, a bool
is not an int. Values are read with ast.literal_eval: nothing is executed.
"""

import ast
import difflib
import types
from collections.abc import Iterable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """Plain data for JSON, tuples as lists.

    Raises: ValueError when a field holds something that JSON would not give back (an array, a NumPy scalar).
    """
    if not is_dataclass(config) or isinstance(config, type):
        raise ValueError(f"to_dict wants a dataclass instance, got {config!r}")
    return _plain(config, type(config).__name__)


def from_dict(cls: type[T], data: dict[str, Any]) -> T:
    """Build cls from plain data. Fields that the data leaves out keep their defaults.

    Raises: ValueError naming the dotted key, for an unknown key (with its neighbours), a value of the wrong type, a missing
    field without default, and whatever a dataclass's own __post_init__ refuses.
    """
    return _build(cls, data, "")


def override(config: T, assignments: Iterable[str]) -> T:
    """A copy of config with "dotted.key=value" applied, in order. All are applied before the result is checked, so that
    two fields which must fit together can be changed together.

    A str field takes its text as it stands; bool also reads true and false; tuples are written 1,2 or (1, 2).
    Raises: ValueError naming the closest keys for an unknown one, and for a value whose type does not fit.
    """
    data = to_dict(config)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"{assignment!r}: write key=value, for example optim.lr=1e-4")
        _set(type(config), data, key.strip(), text.strip())
    return from_dict(type(config), data)


def _plain(value: Any, where: str) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name), f"{where}.{f.name}") for f in fields(value) if f.init}
    if isinstance(value, (tuple, list)):
        return [_plain(v, where) for v in value]
    if isinstance(value, dict) and all(type(k) is str for k in value):
        return {k: _plain(v, f"{where}.{k}") for k, v in value.items()}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise ValueError(f"{where}: {value!r} of type {type(value).__name__} is no plain config value")


def _build(cls: type, data: Any, path: str) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"{path or cls.__name__}: expected the fields of {cls.__name__}, got {data!r}")
    hints = _hints(cls)
    for key in data:
        if key not in hints:
            raise ValueError(_unknown(_join(path, key), [_join(path, name) for name in hints], cls))
    missing = [_join(path, f.name) for f in fields(cls) if f.init and f.name not in data
               and f.default is MISSING and f.default_factory is MISSING]
    if missing:
        raise ValueError(f"{cls.__name__}: missing {', '.join(missing)}")
    values = {key: _fit(value, hints[key], _join(path, key)) for key, value in data.items()}
    try:
        return cls(**values)
    except ValueError as error:
        raise ValueError(f"{path or cls.__name__}: {error}") from error


def _fit(value: Any, hint: Any, path: str) -> Any:
    """value as the hint's type, or ValueError."""
    origin, args = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return _build(hint, value, path)
    if origin in (Union, types.UnionType):
        return _fit_union(value, args, path)
    if origin is Literal:
        if any(value == a and type(value) is type(a) for a in args):
            return value
        raise ValueError(f"{path}: {value!r} is none of {', '.join(map(repr, args))}")
    if origin is tuple and isinstance(value, (list, tuple)):
        return _fit_tuple(value, args, path)
    if origin is dict and isinstance(value, dict):
        return {_fit(k, args[0], path): _fit(v, args[1], _join(path, str(k))) for k, v in value.items()}
    if hint is float and type(value) is int and abs(value) < 1 << 1000:     # larger ones are no float
        return float(value)
    if hint is Any or type(value) is (type(None) if hint is None else hint):
        return value
    raise ValueError(f"{path}: expected {_name(hint)}, got {value!r} of type {type(value).__name__}")


def _fit_union(value: Any, options: tuple, path: str) -> Any:
    exact = [o for o in options if type(value) is o]  # int | float keeps an int an int
    errors = []
    for option in exact or options:
        try:
            return _fit(value, option, path)
        except ValueError as error:
            errors.append(error)
    wanted = [e for o, e in zip(exact or options, errors) if o is not type(None)]
    if len(wanted) == 1:  # X | None: what X said is the better message
        raise wanted[0]
    raise ValueError(f"{path}: {value!r} is none of {', '.join(_name(o) for o in options)}")


def _fit_tuple(value: list | tuple, hints: tuple, path: str) -> tuple:
    if len(hints) == 2 and hints[1] is Ellipsis:
        hints = (hints[0],) * len(value)
    if len(hints) != len(value):
        raise ValueError(f"{path}: expected {len(hints)} values, got {len(value)}: {list(value)!r}")
    return tuple(_fit(v, h, f"{path}[{i}]") for i, (v, h) in enumerate(zip(value, hints)))


def _set(cls: type, data: dict, key: str, text: str) -> None:
    """Write text, read as its field's type, into nested data."""
    *groups, last = key.split(".")
    hint: Any = cls
    for depth, name in enumerate(groups + [last]):
        owner = _dataclass_in(hint)
        if owner is None or name not in _hints(owner):
            raise ValueError(_unknown(key, list(_leaves(cls)), cls))
        hint = _hints(owner)[name]
        if depth < len(groups):
            if data[name] is None:
                raise ValueError(f"{key}: {'.'.join(groups[:depth + 1])} is None in this config, it has no fields to set")
            data = data[name]
    if is_dataclass(hint):
        raise ValueError(f"{key} is a group; set one of {', '.join(_join(key, n) for n in _hints(hint))}")
    data[last] = _parse(text, hint)


def _parse(text: str, hint: Any) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = {"true": True, "false": False, "null": None, "none": None}.get(text.lower(), text)
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    texts = [o for o in options if o is str or get_origin(o) is Literal]
    if texts and not isinstance(value, str) and not any(_fits(value, o) for o in options):
        return text  # a run may be called 22, or None where None is no choice
    return value


def _fits(value: Any, hint: Any) -> bool:
    try:
        _fit(value, hint, "")
    except ValueError:
        return False
    return True


def _hints(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in fields(cls) if f.init}


def _dataclass_in(hint: Any) -> type | None:
    """The dataclass in X or X | None."""
    return next((h for h in (hint, *get_args(hint)) if isinstance(h, type) and is_dataclass(h)), None)


def _leaves(cls: type, path: str = "") -> Iterable[str]:
    for name, hint in _hints(cls).items():
        inner = _dataclass_in(hint)
        yield from _leaves(inner, _join(path, name)) if inner else (_join(path, name),)


def _unknown(key: str, known: list[str], cls: type) -> str:
    tail = key.rpartition(".")[2]
    near = [k for k in known if k.rpartition(".")[2] == tail]  # right name, wrong group
    near += [k for k in difflib.get_close_matches(key, known, n=4, cutoff=0.5) if k not in near]
    choice = f"closest: {', '.join(near)}" if near else f"known: {', '.join(known)}"
    return f"{cls.__name__} has no {key!r}; {choice}"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)

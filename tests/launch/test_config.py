"""Configs through JSON and back, and overrides that refuse what they do not know."""

import json
from dataclasses import dataclass, field
from typing import Literal, Optional

import numpy as np
import pytest

from launch.config import from_dict, override, to_dict


@dataclass(frozen=True)
class Optim:
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    clip: Optional[float] = None


@dataclass(frozen=True)
class Net:
    widths: tuple[int, ...] = (32, 64)
    heads: int = 4
    head: Literal["mlp", "vote"] = "vote"
    dropout: bool = False

    def __post_init__(self):
        if any(width % self.heads for width in self.widths):
            raise ValueError(f"widths {self.widths} must be multiples of heads {self.heads}")


@dataclass(frozen=True)
class Train:
    name: str
    optim: Optim = field(default_factory=Optim)
    net: Net = field(default_factory=Net)
    teacher: Net | None = None
    mix: dict[str, float] = field(default_factory=lambda: {"rest": 0.5})
    resume: str | None = None
    limit: int | float = 1


def test_to_dict_by_hand():
    assert to_dict(Optim(clip=2.0)) == {"lr": 1e-3, "betas": [0.9, 0.999], "clip": 2.0}


def test_json_and_back_is_identity():
    config = Train("run", teacher=Net(widths=(8,), dropout=True), mix={"rest": 0.15, "mocap": 0.5}, resume="a/b")
    again = from_dict(Train, json.loads(json.dumps(to_dict(config))))
    assert again == config and type(again.net.widths) is tuple and type(again.teacher) is Net


def test_absent_fields_keep_their_defaults_and_int_becomes_float():
    config = from_dict(Train, {"name": "x", "optim": {"lr": 1}})
    assert config == Train("x", Optim(lr=1.0)) and type(config.optim.lr) is float


@pytest.mark.parametrize("data, message", [
    ({}, "Train: missing name"),
    ({"name": "x", "optim": {"Lr": 1.0}}, r"Optim has no 'optim.Lr'; closest: optim.lr"),
    ({"name": "x", "lr": 1.0}, r"Train has no 'lr'"),
    ({"name": 3}, "name: expected str, got 3 of type int"),
    ({"name": "x", "optim": {"lr": "1e-3"}}, "optim.lr: expected float, got '1e-3'"),
    ({"name": "x", "optim": {"lr": True}}, "optim.lr: expected float, got True"),
    ({"name": "x", "optim": 3}, "optim: expected the fields of Optim"),
    ({"name": "x", "optim": {"betas": [0.9]}}, "optim.betas: expected 2 values, got 1"),
    ({"name": "x", "optim": {"clip": "no"}}, "optim.clip: expected float, got 'no'"),
    ({"name": "x", "net": {"heads": 4.0}}, "net.heads: expected int, got 4.0"),
    ({"name": "x", "net": {"heads": True}}, "net.heads: expected int, got True"),
    ({"name": "x", "net": {"dropout": 1}}, "net.dropout: expected bool, got 1"),
    ({"name": "x", "net": {"head": "votes"}}, "net.head: 'votes' is none of 'mlp', 'vote'"),
    ({"name": "x", "net": {"widths": [8, "9"]}}, r"net.widths\[1\]: expected int"),
    ({"name": "x", "net": {"widths": [9]}}, "net: widths .9,. must be multiples"),
    ({"name": "x", "mix": {"rest": "all"}}, "mix.rest: expected float"),
    ({"name": "x", "limit": "all"}, "limit: 'all' is none of int, float"),
])
def test_from_dict_refuses(data, message):
    with pytest.raises(ValueError, match=message):
        from_dict(Train, data)


@pytest.mark.parametrize("assignment, read, value", [
    ("optim.lr=1e-4", lambda c: c.optim.lr, 1e-4),
    ("optim.lr=2", lambda c: c.optim.lr, 2.0),
    ("optim.betas=0.5,0.75", lambda c: c.optim.betas, (0.5, 0.75)),
    ("optim.clip=1", lambda c: c.optim.clip, 1.0),
    ("optim.clip=none", lambda c: c.optim.clip, None),
    ("net.widths=(8, 16, 32)", lambda c: c.net.widths, (8, 16, 32)),
    ("net.widths=[8]", lambda c: c.net.widths, (8,)),
    ("net.dropout=true", lambda c: c.net.dropout, True),
    ("net.dropout=False", lambda c: c.net.dropout, False),
    ("net.head=mlp", lambda c: c.net.head, "mlp"),
    ("name=22", lambda c: c.name, "22"),
    ("name='a b'", lambda c: c.name, "a b"),
    ("name=a=b", lambda c: c.name, "a=b"),
    ("name=None", lambda c: c.name, "None"),
    ("name=", lambda c: c.name, ""),
    ("resume=None", lambda c: c.resume, None),
    ("resume=output/run", lambda c: c.resume, "output/run"),
    ("mix={'rest': 1}", lambda c: c.mix, {"rest": 1.0}),
    ("limit=3", lambda c: c.limit, 3),
    ("limit=0.5", lambda c: c.limit, 0.5),
])
def test_override_sets(assignment, read, value):
    got = read(override(Train("x"), [assignment]))
    assert got == value and type(got) is type(value)


def test_override_leaves_the_original_and_applies_in_order():
    config = Train("x")
    changed = override(config, ["optim.lr=1", "optim.lr=2"])
    assert changed.optim.lr == 2.0 and config.optim.lr == 1e-3 and override(config, []) == config


def test_two_fields_that_fit_only_together():
    assert override(Train("x"), ["net.heads=5", "net.widths=5,10"]).net.heads == 5
    with pytest.raises(ValueError, match="multiples"):
        override(Train("x"), ["net.heads=5"])


@pytest.mark.parametrize("assignment, message", [
    ("optim.rl=1", "has no 'optim.rl'; closest: optim.lr"),
    ("lr=1", "has no 'lr'; closest: optim.lr"),
    ("zzzzzz=1", "known: name, optim.lr"),
    ("optim.lr.x=1", "has no 'optim.lr.x'"),
    ("optim.=1", "has no 'optim.'"),
    ("optim=1", "optim is a group; set one of optim.lr, optim.betas, optim.clip"),
    ("teacher.heads=2", "teacher is None"),
    ("optim.lr=fast", "optim.lr: expected float, got 'fast'"),
    ("optim.lr=True", "optim.lr: expected float, got True"),
    ("net.heads=4.0", "net.heads: expected int, got 4.0"),
    ("net.dropout=1", "net.dropout: expected bool, got 1"),
    ("net.widths=8", "net.widths: expected tuple"),
    ("net.head=votes", "none of 'mlp', 'vote'"),
    ("optim.lr=__import__('os').getpid()", "optim.lr: expected float"),
    ("optim.lr", "write key=value"),
    ("=3", "write key=value"),
])
def test_override_refuses(assignment, message):
    with pytest.raises(ValueError, match=message):
        override(Train("x"), [assignment])


def test_what_json_would_not_give_back_is_refused():
    with pytest.raises(ValueError, match=r"Train.optim.lr: .* is no plain config value"):
        to_dict(Train("x", Optim(lr=np.float32(1))))
    with pytest.raises(ValueError, match="wants a dataclass instance"):
        to_dict({"lr": 1})

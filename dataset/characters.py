"""Characters that a training is made of, packed for its arrays: what a worker process is asked for, one by one. No Jittor here."""

from pathlib import Path

from dataset.asset import Asset, AssetError
from dataset.prepared import Packed, pack
from dataset.sources.conventions import rocketbox_to_contest
from dataset.sources.humans import generate
from dataset.sources.mascots import generate_mascot
from dataset.sources.npz import load_npz


def read_rig(file: Path) -> Asset:
    """A rigged character in the contest's convention.

    Raises: AssetError that begins with the file as it was given, when it cannot be read or has no joints and weights.
    """
    try:
        asset = load_npz(file)
    except AssetError as error:     # names it without its folder; a training has many folders
        raise AssetError(f"{file}{str(error).removeprefix(file.name)}") from None
    if asset.joints_J3 is None or asset.skin_VJ is None:
        raise AssetError(f"{file}: has no joints or no skin, so nothing can be learned from it; leave it out of the list")
    return rocketbox_to_contest(asset) if asset.cls == "rocketbox" else asset


SOURCES = {"human": generate, "mascot": generate_mascot, "file": read_rig}


def packed_character(source: str, which: int | Path) -> Packed:
    """which: a seed, or the file. Raises: AssetError."""
    return pack(SOURCES[source](which))

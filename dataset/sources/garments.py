"""Clothes, hair and things carried, as separate islands with the weights riggers give them.

Letters: V vertices, F faces, J joints (52). Frame: that of the undeformed MakeHuman body (metres, Y up, facing +Z, relaxed A pose).
"""

from dataclasses import dataclass, fields

import numpy as np

from dataset.sources.makehuman import BODY_COUNT, MakeHuman


@dataclass(frozen=True)
class Piece:
    """One mesh with its weights: vertices_V3 float64 metres, faces_F3 int64, skin_VJ float32."""
    vertices_V3: np.ndarray
    faces_F3: np.ndarray
    skin_VJ: np.ndarray


@dataclass(frozen=True)
class Wardrobe:
    """Chances of each kind of clothing."""
    eyes: float = 0.7

    @staticmethod
    def none() -> "Wardrobe":
        return Wardrobe(**{f.name: 0.0 for f in fields(Wardrobe)})


def dress(data: MakeHuman, vertices_V3: np.ndarray, joints_J3: np.ndarray, wardrobe: Wardrobe, rng: np.random.Generator) -> list[Piece]:
    """The body and what it wears. vertices_V3: all of MakeHuman's vertices of this body, helpers included."""
    pieces = [cut(data, vertices_V3, data.faces["body"])]
    if rng.random() < wardrobe.eyes:
        pieces += [cut(data, vertices_V3, data.faces[f"helper-{s}-eye"]) for s in "lr"]
    return pieces


def cut(data: MakeHuman, vertices_V3: np.ndarray, faces_F3: np.ndarray) -> Piece:
    """The vertices that the faces use, renumbered."""
    used, faces = np.unique(faces_F3, return_inverse=True)
    return Piece(vertices_V3[used], faces.reshape(-1, 3), data.skin_VJ[used])


def join(pieces: list[Piece]) -> Piece:
    starts = np.cumsum([0, *(len(p.vertices_V3) for p in pieces)])
    return Piece(np.concatenate([p.vertices_V3 for p in pieces]),
                 np.concatenate([p.faces_F3 + s for p, s in zip(pieces, starts)]), np.concatenate([p.skin_VJ for p in pieces]))

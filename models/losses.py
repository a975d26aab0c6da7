"""What training minimises: joints (initial and refined), skin, posed vertices, and mild priors.

Letters: B batch, J joints, Q queries. Lengths are in the unit box. Every part is a mean over what is supervised, so that
its size does not depend on batch, points or joints.
"""

from dataclasses import dataclass

import jittor as jt
import numpy as np

from dataset.format import skeleton
from models.surface_losses import surface_losses


@dataclass(frozen=True)
class LossWeights:
    initial: float = 1.0     # joints of the regressor
    refined: float = 1.0     # joints after refinement: same unit, same weight
    skin_ce: float = 0.05    # cross-entropy: about 1 nat at the start against .3 of joint error
    skin_l1: float = 0.5     # sum over joints, mean over queries: the metric itself (kind A)
    posed: float = 0.5       # vertices moved by the predicted rig: what an animator sees
    symmetry: float = 0.1    # left and right bones of equal length, where the truth's are
    bone_length: float = 0.2
    confidence: float = 0.02 # small: its gradient grows as errors shrink, and joints come first
    edge: float = 0.0        # of a piece of the mesh moved by the predicted rig: edges keep their length. Off: no gain was measured
    laplacian: float = 0.0   # ... and the vertices lie in the middle of their neighbours
    normal: float = 0.0      # ... and neighbouring faces look the same way

    @property
    def on_surface(self) -> bool:
        """Whether a part looks at a piece of the mesh."""
        return bool(self.edge or self.laplacian or self.normal)


def distance(a: jt.Var, b: jt.Var) -> jt.Var:
    """|a - b| over the last axis, smooth at zero (sqrt has no gradient there)."""
    return ((a - b).sqr().sum(-1) + 1e-8).sqrt()


def masked_mean(x: jt.Var, mask: jt.Var) -> jt.Var:
    """Mean of x where mask is 1; 0 when nothing is supervised."""
    return (x * mask).sum() / (mask.sum() + 1e-6)


class RigLoss:
    """Loss parts of one batch as a dict of scalar Vars; ``total`` weighs them.

    Batch: joints (B, J, 3), joint_mask (B, J), skin (B, Q, J), skin_mask (B,), query (B, Q, 3); upright (B,): 0 for a figure turned
    so far that only the confidence, where there is one, learns from it; rotations (B, J, 3, 3): random global bone rotations for the posed-vertex part.
    With the parts on surfaces also patch (B, K, 3) and patch_faces (B, T, 3); the queries then end with the patch's vertices.
    """

    def __init__(self, joint_count: int, weights: LossWeights):
        self.weights = weights
        shape = skeleton(joint_count)
        self.bones_J = np.array([j for j, p in enumerate(shape.parents) if p is not None], "int32")
        self.heads_J = np.array([shape.parents[j] for j in self.bones_J], "int32")
        mirrored = np.array([shape.mirror[j] for j in self.bones_J])
        self.twin_J = np.array([list(self.bones_J).index(m) for m in mirrored], "int32")
        self.chain_JJ = ancestor_matrix(shape.parents)
        self.parents = shape.parents

    def __call__(self, rig, batch: dict[str, jt.Var]) -> dict[str, jt.Var]:
        mask_BJ, skin_mask_B, asked = batch["joint_mask"], batch["skin_mask"], (rig, batch)
        if "patch_faces" in batch:      # the last queries are vertices of patches, whose skin is not asked for here
            count = batch["skin"].shape[1]
            rig, batch = rig._replace(skin_BQJ=rig.skin_BQJ[:, :count]), {**batch, "query": batch["query"][:, :count]}
        if rig.expected_error_BJ is not None:  # then prediction turns figures upright by it, and joints need to be right only there
            mask_BJ, skin_mask_B = mask_BJ * batch["upright"].unsqueeze(1), skin_mask_B * batch["upright"]
        parts = {
            "initial": masked_mean(distance(rig.initial_BJ3, batch["joints"]), mask_BJ),
            "refined": masked_mean(distance(rig.joints_BJ3, batch["joints"]), mask_BJ),
            **self.skin_parts(rig.skin_BQJ, batch["skin"], skin_mask_B),
            **self.bone_parts(rig.joints_BJ3, batch["joints"], mask_BJ),
        }
        if self.weights.posed:
            parts["posed"] = self.posed_part(rig, batch, skin_mask_B * mask_BJ.min(-1))
        if self.weights.on_surface:
            parts |= self.surface_parts(*asked, skin_mask_B * mask_BJ.min(-1))
        if rig.expected_error_BJ is not None:
            parts["confidence"] = self.confidence_part(rig, batch)
        parts["total"] = sum(getattr(self.weights, name) * part for name, part in parts.items())
        return parts

    def skin_parts(self, skin_BQJ: jt.Var, truth_BQJ: jt.Var, mask_B: jt.Var) -> dict[str, jt.Var]:
        ce_B = -(truth_BQJ * (skin_BQJ + 1e-6).log()).sum(-1).mean(-1)
        l1_B = (skin_BQJ - truth_BQJ).abs().sum(-1).mean(-1)
        return {"skin_ce": masked_mean(ce_B, mask_B), "skin_l1": masked_mean(l1_B, mask_B)}

    def bone_parts(self, joints_BJ3: jt.Var, truth_BJ3: jt.Var, mask_BJ: jt.Var) -> dict[str, jt.Var]:
        known_BJ = mask_BJ[:, self.bones_J] * mask_BJ[:, self.heads_J]
        length_BJ = distance(joints_BJ3[:, self.bones_J], joints_BJ3[:, self.heads_J])
        wanted_BJ = distance(truth_BJ3[:, self.bones_J], truth_BJ3[:, self.heads_J])
        uneven_BJ = (length_BJ - length_BJ[:, self.twin_J]) - (wanted_BJ - wanted_BJ[:, self.twin_J])
        return {"bone_length": masked_mean((length_BJ - wanted_BJ).abs(), known_BJ),
                "symmetry": masked_mean(uneven_BJ.abs(), known_BJ)}

    def confidence_part(self, rig, batch: dict[str, jt.Var]) -> jt.Var:
        """-log of an exponential distribution of mean E at the error e: e / E + log E, least where E is the mean error."""
        error_BJ = distance(rig.joints_BJ3, batch["joints"]).detach()
        surprise_BJ = error_BJ / rig.expected_error_BJ + rig.expected_error_BJ.log()
        return masked_mean(surprise_BJ, batch["joint_mask"])

    def posed_part(self, rig, batch: dict[str, jt.Var], known_B: jt.Var) -> jt.Var:
        """Mean distance between queries moved by the predicted and by the true rig under the same bone rotations."""
        turn = batch["rotations"]
        got_BQ3 = self.pose(batch["query"], rig.joints_BJ3, rig.skin_BQJ, turn)
        want_BQ3 = self.pose(batch["query"], batch["joints"], batch["skin"], turn)
        return masked_mean(distance(got_BQ3, want_BQ3).mean(-1), known_B)

    def surface_parts(self, rig, batch: dict[str, jt.Var], known_B: jt.Var) -> dict[str, jt.Var]:
        """Those of surface_losses, of each patch as the predicted rig moves it under the same bone rotations as the posed part."""
        first = batch["skin"].shape[1]
        turned_BK3 = self.pose(batch["patch"], rig.joints_BJ3, rig.skin_BQJ[:, first:], batch["rotations"])
        return surface_losses(turned_BK3, batch["patch"].numpy(), batch["patch_faces"].numpy(), known_B.numpy() > 0)

    def pose(self, query_BQ3: jt.Var, joints_BJ3: jt.Var, skin_BQJ: jt.Var, turn_BJ33: jt.Var) -> jt.Var:
        """Linear blend skinning with identity rest frames: v' = sum_j w_j (G_j (v - x_j) + p_j).

        G_j are global rotations; p_j = x_root + sum over j's chain of G_parent(a) (x_a - x_parent(a)), linear in the joints.
        """
        batch, count, _ = joints_BJ3.shape
        bone_BJ3 = joints_BJ3[:, self.bones_J] - joints_BJ3[:, self.heads_J]
        turned_BJ3 = (turn_BJ33[:, self.heads_J] * bone_BJ3.unsqueeze(2)).sum(-1)
        turned_BJ3 = jt.concat([joints_BJ3[:, :1], turned_BJ3], dim=1)  # the root comes first in both skeletons
        place_BJ3 = jt.matmul(jt.array(self.chain_JJ), turned_BJ3)
        shift_BJ3 = place_BJ3 - (turn_BJ33 * joints_BJ3.unsqueeze(2)).sum(-1)
        motion_BJ12 = jt.concat([turn_BJ33.reshape(batch, count, 9), shift_BJ3], dim=2)
        blend_BQ12 = jt.matmul(skin_BQJ, motion_BJ12)
        turn_BQ33 = blend_BQ12[:, :, :9].reshape(batch, -1, 3, 3)
        return (turn_BQ33 * query_BQ3.unsqueeze(2)).sum(-1) + blend_BQ12[:, :, 9:]


def ancestor_matrix(parents: tuple[int | None, ...]) -> np.ndarray:
    """A (J, J), A[j, a] = 1 when a is j or one of its ancestors: sums along each chain."""
    count = len(parents)
    chain_JJ = np.eye(count, dtype="float32")
    for joint, parent in enumerate(parents):
        if parent is not None:
            chain_JJ[joint] += chain_JJ[parent]
    return chain_JJ

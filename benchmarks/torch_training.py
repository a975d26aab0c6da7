"""The training step in PyTorch: losses of models/losses.py, AdamW with clipping and an average of the weights, as launch/optimizer.py.

Development only, like the twin. What each part means is told there.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dataset.format import skeleton

LOSS_PARTS = ("initial", "refined", "skin_ce", "skin_l1", "bone_length", "symmetry", "posed", "confidence")


def distance(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b).square().sum(-1) + 1e-8).sqrt()


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    return (x * mask).sum() / (mask.sum() + 1e-6)


class TorchRigLoss(nn.Module):
    """batch: the dict that RigLoss gets, as tensors. weights: the fields of LossWeights."""

    def __init__(self, joint_count: int, weights: dict[str, float]):
        super().__init__()
        self.weights = weights
        shape = skeleton(joint_count)
        bones = [j for j, p in enumerate(shape.parents) if p is not None]
        chain_JJ = torch.eye(joint_count)
        for joint in bones:
            chain_JJ[joint] += chain_JJ[shape.parents[joint]]
        self.register_buffer("chain_JJ", chain_JJ)
        self.register_buffer("bones_J", torch.tensor(bones))
        self.register_buffer("heads_J", torch.tensor([shape.parents[j] for j in bones]))
        self.register_buffer("twin_J", torch.tensor([bones.index(shape.mirror[j]) for j in bones]))

    def forward(self, rig: tuple[Tensor, Tensor, Tensor, Tensor], batch: dict[str, Tensor]) -> Tensor:
        initial_BJ3, joints_BJ3, skin_BQJ, expected_BJ = rig
        truth_BJ3, upright_B = batch["joints"], batch["upright"]
        mask_BJ, skin_mask_B = batch["joint_mask"] * upright_B[:, None], batch["skin_mask"] * upright_B
        ce_B = -(batch["skin"] * (skin_BQJ + 1e-6).log()).sum(-1).mean(-1)
        l1_B = (skin_BQJ - batch["skin"]).abs().sum(-1).mean(-1)
        known_BJ = mask_BJ[:, self.bones_J] * mask_BJ[:, self.heads_J]
        length_BJ, wanted_BJ = (distance(x[:, self.bones_J], x[:, self.heads_J]) for x in (joints_BJ3, truth_BJ3))
        uneven_BJ = length_BJ - length_BJ[:, self.twin_J] - (wanted_BJ - wanted_BJ[:, self.twin_J])
        moved_B = distance(self.pose(batch["query"], joints_BJ3, skin_BQJ, batch["rotations"]),
                           self.pose(batch["query"], truth_BJ3, batch["skin"], batch["rotations"])).mean(-1)
        error_BJ = distance(joints_BJ3, truth_BJ3).detach()
        parts = (masked_mean(distance(initial_BJ3, truth_BJ3), mask_BJ), masked_mean(distance(joints_BJ3, truth_BJ3), mask_BJ),
                 masked_mean(ce_B, skin_mask_B), masked_mean(l1_B, skin_mask_B), masked_mean((length_BJ - wanted_BJ).abs(), known_BJ),
                 masked_mean(uneven_BJ.abs(), known_BJ), masked_mean(moved_B, skin_mask_B * mask_BJ.amin(-1)),
                 masked_mean(error_BJ / expected_BJ + expected_BJ.log(), batch["joint_mask"]))
        return sum(self.weights[name] * part for name, part in zip(LOSS_PARTS, parts))

    def pose(self, query_BQ3: Tensor, joints_BJ3: Tensor, skin_BQJ: Tensor, turn_BJ33: Tensor) -> Tensor:
        bone_BJ3 = joints_BJ3[:, self.bones_J] - joints_BJ3[:, self.heads_J]
        turned_BJ3 = torch.cat([joints_BJ3[:, :1], (turn_BJ33[:, self.heads_J] @ bone_BJ3.unsqueeze(-1)).squeeze(-1)], 1)
        shift_BJ3 = self.chain_JJ @ turned_BJ3 - (turn_BJ33 @ joints_BJ3.unsqueeze(-1)).squeeze(-1)
        blend_BQ12 = skin_BQJ @ torch.cat([turn_BJ33.flatten(2), shift_BJ3], 2)
        turn_BQ33 = blend_BQ12[:, :, :9].unflatten(-1, (3, 3))
        return (turn_BQ33 * query_BQ3.unsqueeze(2)).sum(-1) + blend_BQ12[:, :, 9:]


@dataclass
class TorchTrainer:
    """One object that moves a twin. optim: the fields of OptimConfig; the rate stays at its peak, as it does not change the time."""
    twin: nn.Module
    loss_of: TorchRigLoss
    optim: dict[str, float]

    def __post_init__(self):
        matrices = [p for p in self.twin.parameters() if p.ndim == 2]
        others = [p for p in self.twin.parameters() if p.ndim != 2]
        groups = [{"params": matrices, "weight_decay": self.optim["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=self.optim["lr"], betas=(self.optim["beta1"], self.optim["beta2"]), fused=True)
        self.average = [p.detach().clone() for p in self.twin.parameters()]

    def step(self, batch: dict[str, Tensor]) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(self.twin(batch["points"], batch["normals"], batch["query"], batch["query_normals"]), batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.twin.parameters(), self.optim["clip"], error_if_nonfinite=True)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.twin.parameters()), 1 - self.optim["ema"])
        return loss.item()

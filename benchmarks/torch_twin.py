"""The joint model once more, in PyTorch: the peer of the speed comparison and an independent witness of the network's arithmetic.

Development only: it lives in the peers' environment (bash benchmarks/setup_peers.sh) and the product never imports it. It reads the
same config.json and the same safetensors file, so parameters carry the names of models/joint_model.py; what a name means, shapes and
sources are told there. Written the way PyTorch is fast: scaled_dot_product_attention, cdist and topk, index_select, fused gelu and
norm; farthest-point sampling, which PyTorch does not have, through numba on the CPU.
Letters: as models/: B batch, N points, M coarser points, K neighbours, Q queries, J joints, C, D, H channels.

    python -m benchmarks.torch_twin CHECKPOINT INPUT.npz OUTPUT.npz      outputs and gradients, for the parity test
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.peer_kernels import numba_farthest, torch_farthest
from dataset.format import skeleton


@torch.compiler.disable
def farthest_points(points_BN3: Tensor, count: int) -> Tensor:
    """Indices (B, M): the point farthest from the centroid, then always the one farthest from all picked."""
    if points_BN3.device.type == "cpu":
        return torch.from_numpy(numba_farthest(points_BN3.detach().numpy(), count))
    return torch_farthest(points_BN3, count)


@torch.no_grad()
def nearest(query_BQ3: Tensor, source_BM3: Tensor, k: int) -> tuple[Tensor, Tensor]:
    d_BQM = torch.cdist(query_BQ3, source_BM3, compute_mode="donot_use_mm_for_euclid_dist")
    return d_BQM.topk(k, dim=-1, largest=False)


def three_nearest(query_BQ3: Tensor, source_BM3: Tensor) -> tuple[Tensor, Tensor]:
    d_BQ3, idx_BQ3 = nearest(query_BQ3, source_BM3, 3)
    weight_BQ3 = 1 / (d_BQ3.square() + 1e-16)
    return idx_BQ3, weight_BQ3 / weight_BQ3.sum(-1, keepdim=True)


def gather(feat_BMC: Tensor, idx: Tensor) -> Tensor:
    """Rows of feat at idx (B, ...) -> (B, ..., C)."""
    batch, size, width = feat_BMC.shape
    first = torch.arange(batch, device=idx.device).view(-1, *[1] * (idx.ndim - 1)) * size
    return feat_BMC.reshape(-1, width).index_select(0, (idx + first).view(-1)).view(*idx.shape, width)


def interpolate(feat_BMC: Tensor, idx_BQK: Tensor, weight_BQK: Tensor) -> Tensor:
    return torch.einsum("bqk,bqkc->bqc", weight_BQK, gather(feat_BMC, idx_BQK))


def gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


class MLP(nn.Module):
    def __init__(self, in_width: int, hidden: int, out_width: int):
        super().__init__()
        self.rise, self.fall = nn.Linear(in_width, hidden), nn.Linear(hidden, out_width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fall(gelu(self.rise(x)))


def split_heads(x_BNC: Tensor, heads: int) -> Tensor:
    return x_BNC.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(q_BNC: Tensor, k_BMC: Tensor, v_BMC: Tensor, heads: int) -> Tensor:
    out_BHNE = F.scaled_dot_product_attention(*(split_heads(x, heads) for x in (q_BNC, k_BMC, v_BMC)))
    return out_BHNE.transpose(1, 2).flatten(2)


class SelfAttentionBlock(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_query, self.to_key, self.to_value = nn.Linear(width, width), nn.Linear(width, width, False), nn.Linear(width, width)
        self.to_out = nn.Linear(width, width)
        self.mlp = MLP(width, 2 * width, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        y_BNC = self.norm_attention(x_BNC)
        x_BNC = x_BNC + self.to_out(attend(self.to_query(y_BNC), self.to_key(y_BNC), self.to_value(y_BNC), self.heads))
        return x_BNC + self.mlp(self.norm_mlp(x_BNC))


class LocalAttentionBlock(SelfAttentionBlock):
    def forward(self, x_BNC: Tensor, idx_BNK: Tensor) -> Tensor:
        y_BNC = self.norm_attention(x_BNC)
        q_BNHE = self.to_query(y_BNC).unflatten(-1, (self.heads, -1))
        k_BNKHE, v_BNKHE = (gather(to(y_BNC), idx_BNK).unflatten(-1, (self.heads, -1)) for to in (self.to_key, self.to_value))
        # products and sums beat scaled_dot_product_attention here, which is slow for single queries with a dozen keys
        score_BNKH = (q_BNHE.unsqueeze(2) * k_BNKHE).sum(-1) * q_BNHE.shape[-1] ** -0.5
        out_BNHE = (score_BNKH.softmax(2).unsqueeze(-1) * v_BNKHE).sum(2)
        x_BNC = x_BNC + self.to_out(out_BNHE.flatten(2))
        return x_BNC + self.mlp(self.norm_mlp(x_BNC))


class CrossAttentionBlock(nn.Module):
    def __init__(self, width: int, source_width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm_query, self.norm_source, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(source_width), nn.LayerNorm(width)
        self.to_query = nn.Linear(width, width)
        self.to_key, self.to_value = nn.Linear(source_width, width, False), nn.Linear(source_width, width)
        self.to_out = nn.Linear(width, width)
        self.mlp = MLP(width, 2 * width, width)

    def forward(self, x_BNC: Tensor, y_BMS: Tensor) -> Tensor:
        y_BMS = self.norm_source(y_BMS)
        out_BNC = attend(self.to_query(self.norm_query(x_BNC)), self.to_key(y_BMS), self.to_value(y_BMS), self.heads)
        x_BNC = x_BNC + self.to_out(out_BNC)
        return x_BNC + self.mlp(self.norm_mlp(x_BNC))


class Fourier(nn.Module):
    def __init__(self, octaves: int):
        super().__init__()
        self.width = 3 * (2 * octaves + 1)
        self.register_buffer("frequencies", 2.0 ** torch.arange(octaves), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        angle = (x.unsqueeze(-1) * self.frequencies).flatten(-2)
        return torch.cat([x, angle.sin(), angle.cos()], -1)


class PointEmbedder(nn.Module):
    def __init__(self, octaves: int, width: int, use_normals: bool):
        super().__init__()
        self.fourier = Fourier(octaves)
        self.lift_position = nn.Linear(self.fourier.width, width)
        self.use_normals = use_normals
        if use_normals:
            self.lift_normal = nn.Linear(3, width)
            self.no_normal = nn.Parameter(torch.zeros(width))
        self.norm, self.mlp = nn.LayerNorm(width), MLP(width, width, width)

    def forward(self, xyz_BN3: Tensor, normals_BN3: Tensor) -> Tensor:
        x_BNC = self.lift_position(self.fourier(xyz_BN3))
        if self.use_normals:
            known_BN1 = normals_BN3.square().sum(-1, keepdim=True) > 0.25
            x_BNC = x_BNC + torch.where(known_BN1, self.lift_normal(normals_BN3), self.no_normal)
        return x_BNC + self.mlp(self.norm(x_BNC))


class LocalPooling(nn.Module):
    def __init__(self, in_width: int, out_width: int, neighbours: int):
        super().__init__()
        self.neighbours = neighbours
        hidden = max(out_width // 2, 16)
        self.lift_neighbour, self.lift_centre = nn.Linear(in_width, hidden), nn.Linear(in_width, hidden)
        self.offset_3H = nn.Parameter(torch.zeros(3, hidden))
        self.out = nn.Linear(hidden, out_width)

    def forward(self, centre_xyz_BM3: Tensor, centre_feat_BMC: Tensor, xyz_BN3: Tensor, feat_BNC: Tensor) -> Tensor:
        _, idx_BMK = nearest(centre_xyz_BM3, xyz_BN3, min(self.neighbours, xyz_BN3.shape[1]))
        near_BMKH = gather(self.lift_neighbour(feat_BNC) + xyz_BN3 @ self.offset_3H, idx_BMK)
        centre_BMH = self.lift_centre(centre_feat_BMC) - centre_xyz_BM3 @ self.offset_3H
        return self.out(gelu(near_BMKH + centre_BMH.unsqueeze(2))).amax(2)


class DownLevel(nn.Module):
    def __init__(self, in_width: int, out_width: int, depth: int, cfg: dict):
        super().__init__()
        self.pool = LocalPooling(in_width, out_width, cfg["neighbours"])
        self.skip = nn.Linear(in_width, out_width)
        self.blocks = nn.ModuleList(SelfAttentionBlock(out_width, out_width // cfg["head_width"]) for _ in range(depth))

    def forward(self, xyz_BN3: Tensor, feat_BNC: Tensor) -> tuple[Tensor, Tensor]:
        idx_BM = farthest_points(xyz_BN3, max(xyz_BN3.shape[1] // 4, 4))
        xyz_BM3, feat_BMC = gather(xyz_BN3, idx_BM), gather(feat_BNC, idx_BM)
        feat_BMD = self.skip(feat_BMC) + self.pool(xyz_BM3, feat_BMC, xyz_BN3, feat_BNC)
        for block in self.blocks:
            feat_BMD = block(feat_BMD)
        return xyz_BM3, feat_BMD


class Backbone(nn.Module):
    def __init__(self, cfg: dict):
        super().__init__()
        widths = cfg["widths"]
        self.embed = PointEmbedder(cfg["octaves"], widths[0], cfg["use_normals"])
        self.downs = nn.ModuleList(DownLevel(a, b, depth, cfg) for a, b, depth in zip(widths[:-1], widths[1:], cfg["depths"]))
        self.norm = nn.LayerNorm(widths[-1])
        self.to_code = nn.Linear(2 * widths[-1], cfg["global_width"])

    def forward(self, points_BN3: Tensor, normals_BN3: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        levels = [(points_BN3, self.embed(points_BN3, normals_BN3))]
        for down in self.downs:
            levels.append(down(*levels[-1]))
        last_BMC = self.norm(levels[-1][1])
        return levels, gelu(self.to_code(torch.cat([last_BMC.amax(1), last_BMC.mean(1)], -1)))


class AnchorFusion(nn.Module):
    def __init__(self, widths: list[int], code_width: int):
        super().__init__()
        self.lift_coarse = nn.ModuleList(nn.Linear(width, widths[1]) for width in widths[2:])
        self.lift_code = nn.Linear(code_width, widths[1])

    def forward(self, levels: list[tuple[Tensor, Tensor]], code_BG: Tensor) -> tuple[Tensor, Tensor]:
        xyz_BM3, feat_BMC = levels[1]
        feat_BMC = feat_BMC + self.lift_code(code_BG).unsqueeze(1)
        for lift, (xyz, feat) in zip(self.lift_coarse, levels[2:]):
            feat_BMC = feat_BMC + interpolate(lift(feat), *three_nearest(xyz_BM3, xyz))
        return xyz_BM3, feat_BMC


class VotingHead(nn.Module):
    def __init__(self, width: int, joint_count: int):
        super().__init__()
        self.joint_count = joint_count
        self.norm, self.mlp = nn.LayerNorm(width), MLP(width, width, 4 * joint_count)

    def forward(self, xyz_BM3: Tensor, feat_BMC: Tensor) -> Tensor:
        votes_BMJ4 = self.mlp(self.norm(feat_BMC)).unflatten(-1, (self.joint_count, 4))
        weight_BMJ = votes_BMJ4[..., 3].softmax(1)
        return torch.einsum("bmj,bmjx->bjx", weight_BMJ, votes_BMJ4[..., :3] + xyz_BM3.unsqueeze(2))


class JointTokens(nn.Module):
    def __init__(self, cfg: dict, point_width: int):
        super().__init__()
        width, fine_neighbours = cfg["token_width"], cfg.get("fine_neighbours", 0)
        self.fourier = Fourier(cfg["backbone"]["octaves"])
        self.lift_position = nn.Linear(self.fourier.width, width)
        self.identity = nn.Parameter(torch.zeros(cfg["joint_count"], width))
        self.pool = LocalPooling(point_width, width, cfg["token_neighbours"])
        self.pool_fine = LocalPooling(cfg["backbone"]["widths"][0], width, fine_neighbours) if fine_neighbours else None

    def forward(self, joints_BJ3: Tensor, anchors: tuple[Tensor, Tensor], fine: tuple[Tensor, Tensor]) -> Tensor:
        tokens_BJD = self.lift_position(self.fourier(joints_BJ3)) + self.identity
        for pool, (xyz_BM3, feat_BMC) in zip((self.pool, self.pool_fine), (anchors, fine)):
            if pool is not None:
                here_BJC = interpolate(feat_BMC, *three_nearest(joints_BJ3, xyz_BM3))
                tokens_BJD = tokens_BJD + pool(joints_BJ3, here_BJC, xyz_BM3, feat_BMC)
        return tokens_BJD


class JointRefiner(nn.Module):
    def __init__(self, cfg: dict, point_width: int):
        super().__init__()
        width, depth, heads = cfg["token_width"], cfg["refine_depth"], cfg["token_width"] // cfg["backbone"]["head_width"]
        self.rounds = cfg.get("refine_rounds", 1)
        self.tokens = JointTokens(cfg, point_width)
        self.among_joints = nn.ModuleList(SelfAttentionBlock(width, heads) for _ in range(depth))
        self.to_points = nn.ModuleList(CrossAttentionBlock(width, point_width, heads) for _ in range(depth))
        self.norm, self.to_delta = nn.LayerNorm(width), nn.Linear(width, 3)

    def forward(self, initial_BJ3: Tensor, anchors: tuple[Tensor, Tensor], fine: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        joints_BJ3 = initial_BJ3.detach()
        for _ in range(self.rounds):
            tokens_BJD = self.tokens(joints_BJ3.detach(), anchors, fine)
            for among, to_points in zip(self.among_joints, self.to_points):
                tokens_BJD = to_points(among(tokens_BJD), anchors[1])
            tokens_BJD = self.norm(tokens_BJD)
            joints_BJ3 = joints_BJ3 + self.to_delta(tokens_BJD)
        return joints_BJ3, tokens_BJD


class ErrorHead(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.mlp = MLP(width, width, 1)

    def forward(self, tokens_BJD: Tensor) -> Tensor:
        return (self.mlp(tokens_BJD).squeeze(-1).tanh() * 4 - 3).exp()


class UpLevel(nn.Module):
    def __init__(self, fine_width: int, coarse_width: int, out_width: int, head_width: int, local_neighbours: int):
        super().__init__()
        self.lift_skip, self.lift_coarse = nn.Linear(fine_width, out_width), nn.Linear(coarse_width, out_width)
        self.local_neighbours = local_neighbours
        self.block = (LocalAttentionBlock if local_neighbours else SelfAttentionBlock)(out_width, out_width // head_width)

    def forward(self, xyz_BN3: Tensor, fine_BNC: Tensor, coarse_BM3: Tensor, coarse_BMC: Tensor) -> Tensor:
        x_BND = self.lift_skip(fine_BNC) + interpolate(self.lift_coarse(coarse_BMC), *three_nearest(xyz_BN3, coarse_BM3))
        if not self.local_neighbours:
            return self.block(x_BND)
        return self.block(x_BND, nearest(xyz_BN3, xyz_BN3, min(self.local_neighbours, xyz_BN3.shape[1]))[1])


class PairTerm(nn.Module):
    def __init__(self, cfg: dict, token_width: int, parents: tuple):
        super().__init__()
        width = cfg["pair_width"]
        self.lift_query, self.lift_token = nn.Linear(cfg["width"], width), nn.Linear(token_width, width)
        self.geometry_4H, self.out_H = nn.Parameter(torch.zeros(4, width)), nn.Parameter(torch.zeros(width))
        children = [[c for c, p in enumerate(parents) if p == j] for j in range(len(parents))]
        tails_JJ = torch.zeros(len(parents), len(parents))
        for j, kids in enumerate(children):
            if kids:
                tails_JJ[j, kids] = 1 / len(kids)
            else:
                tails_JJ[j, j], tails_JJ[j, parents[j]] = 1.5, -0.5
        self.register_buffer("tails_JJ", tails_JJ, persistent=False)
        self.register_buffer("parent_J", torch.tensor([0 if p is None else p for p in parents]), persistent=False)

    def forward(self, x_BQC: Tensor, query_BQ3: Tensor, joints_BJ3: Tensor, tokens_BJD: Tensor) -> Tensor:
        axis_BJ3 = self.tails_JJ @ joints_BJ3 - joints_BJ3
        reach_BQJ3 = query_BQ3.unsqueeze(2) - joints_BJ3.unsqueeze(1)
        along_BQJ = torch.einsum("bqjx,bjx->bqj", reach_BQJ3, axis_BJ3) / (axis_BJ3.square().sum(-1) + 1e-6).unsqueeze(1)
        rest_BQJ3 = reach_BQJ3 - along_BQJ.clamp(0, 1).unsqueeze(-1) * axis_BJ3.unsqueeze(1)
        joint_BQJ, bone_BQJ = ((d.square().sum(-1) + 1e-8).sqrt() for d in (reach_BQJ3, rest_BQJ3))
        geometry_BQJ4 = torch.stack([joint_BQJ, bone_BQJ, along_BQJ.clamp(-1, 2), bone_BQJ[:, :, self.parent_J]], -1)
        sum_BQJH = geometry_BQJ4 @ self.geometry_4H + self.lift_query(x_BQC).unsqueeze(2) + self.lift_token(tokens_BJD).unsqueeze(1)
        return gelu(sum_BQJH) @ self.out_H


class SkinDecoder(nn.Module):
    def __init__(self, cfg: dict, body: dict, token_width: int, parents: tuple):
        super().__init__()
        widths, width = body["widths"], cfg["width"]
        outs = [width, *widths[1:-1]]
        self.ups = nn.ModuleList(
            UpLevel(fine, coarse, out, body["head_width"], cfg["local_neighbours"] if level == 0 else 0)
            for level, (fine, coarse, out) in enumerate(zip(widths[:-1], outs[1:] + widths[-1:], outs)))
        self.norm, self.norm_query = nn.LayerNorm(width), nn.LayerNorm(width)
        self.embed_query = PointEmbedder(body["octaves"], width, body["use_normals"])
        self.mix = MLP(width, 2 * width, width)
        self.to_query, self.to_key = nn.Linear(width, width), nn.Linear(token_width, width)
        self.pair = PairTerm(cfg, token_width, parents)

    def climb(self, levels: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        xyz, feat = levels[-1]
        for up, (fine_xyz, fine) in zip(reversed(self.ups), reversed(levels[:-1])):
            xyz, feat = fine_xyz, up(fine_xyz, fine, xyz, feat)
        return xyz, self.norm(feat)

    def forward(self, fine: tuple[Tensor, Tensor], query_BQ3: Tensor, normals_BQ3: Tensor, joints_BJ3: Tensor,
                tokens_BJD: Tensor) -> Tensor:
        xyz_BN3, feat_BNC = fine
        x_BQC = interpolate(feat_BNC, *three_nearest(query_BQ3, xyz_BN3)) + self.embed_query(query_BQ3, normals_BQ3)
        x_BQC = self.norm_query(x_BQC + self.mix(x_BQC))
        logits_BQJ = self.to_query(x_BQC) @ self.to_key(tokens_BJD).mT * x_BQC.shape[-1] ** -0.5
        return (logits_BQJ + self.pair(x_BQC, query_BQ3, joints_BJ3, tokens_BJD)).softmax(-1)


class TorchTwin(nn.Module):
    """cfg: the dict of a JointModelConfig. Only the product's own shape is twinned: voting head, refinement, attention and pair term on.

    forward: points, normals (B, N, 3), queries, their normals (B, Q, 3) -> initial, refined joints (B, J, 3), weights (B, Q, J),
    expected errors (B, J).
    Raises: ValueError for a config with one of these parts switched off.
    """

    def __init__(self, cfg: dict):
        super().__init__()
        decoder, body = cfg["decoder"], cfg["backbone"]
        if cfg["joint_head"] != "vote" or not (cfg["refine_depth"] and decoder["use_attention"] and decoder["use_pair_geometry"]):
            raise ValueError("the twin has the voting head, the refinement, the decoder's attention and its pair term; switch them on")
        width = body["widths"][1]
        self.backbone = Backbone(body)
        self.fuse = AnchorFusion(body["widths"], body["global_width"])
        self.head = VotingHead(width, cfg["joint_count"])
        self.refiner = JointRefiner(cfg, width)
        self.confidence = ErrorHead(cfg["token_width"]) if cfg.get("confidence") else None
        self.decoder = SkinDecoder(decoder, body, cfg["token_width"], skeleton(cfg["joint_count"]).parents)

    def encode(self, points_BN3: Tensor, normals_BN3: Tensor):
        levels, code_BG = self.backbone(points_BN3, normals_BN3)
        anchors = self.fuse(levels, code_BG)
        initial_BJ3 = self.head(*anchors)
        joints_BJ3, tokens_BJD = self.refiner(initial_BJ3, anchors, levels[0])
        return initial_BJ3, joints_BJ3, tokens_BJD, self.decoder.climb(levels)

    def forward(self, points_BN3: Tensor, normals_BN3: Tensor, query_BQ3: Tensor, query_normals_BQ3: Tensor):
        initial_BJ3, joints_BJ3, tokens_BJD, fine = self.encode(points_BN3, normals_BN3)
        skin_BQJ = self.decoder(fine, query_BQ3, query_normals_BQ3, joints_BJ3.detach(), tokens_BJD)
        return initial_BJ3, joints_BJ3, skin_BQJ, *([self.confidence(tokens_BJD)] if self.confidence else [])


def load_twin(folder: str | Path) -> TorchTwin:
    """A checkpoint folder (config.json, model.safetensors) -> the twin with its weights; every name must fit."""
    network = json.loads((Path(folder) / "config.json").read_text())["config"]["network"]
    twin = TorchTwin(network)
    twin.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return twin


def witness(checkpoint: str, given: str, answer: str) -> None:
    """Outputs, and the gradients of sum(output * pull), written to ``answer``.

    given: points, normals, query, query_normals, and pull_initial, pull_joints, pull_skin, pull_error of the outputs' shapes.
    """
    with np.load(given) as arrays:
        x = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    twin = load_twin(checkpoint)
    rig = dict(zip(("initial", "joints", "skin", "error"), twin(x["points"], x["normals"], x["query"], x["query_normals"])))
    sum((part * x[f"pull_{name}"]).sum() for name, part in rig.items()).backward()
    np.savez(answer, **{name: part.detach().numpy() for name, part in rig.items()},
             **{f"gradient/{name}": p.grad.numpy() for name, p in twin.named_parameters()})


if __name__ == "__main__":
    witness(*sys.argv[1:])

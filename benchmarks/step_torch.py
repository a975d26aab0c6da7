"""The PyTorch side of bench_step: serves training steps and forward passes of the twin on what the Jittor side wrote to a folder.

    python -m benchmarks.step_torch FOLDER [--device cuda] [--compile]
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from benchmarks.paired import serve
from benchmarks.torch_training import TorchRigLoss, TorchTrainer
from benchmarks.torch_twin import load_twin


def tensors(path: Path, device: str) -> dict[str, torch.Tensor]:
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]).to(device) for name in arrays.files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    args = parser.parse_args()
    if args.device == "cuda":
        torch.set_float32_matmul_precision("high")
    training = json.loads((args.folder / "training.json").read_text())
    batch, character = tensors(args.folder / "batch.npz", args.device), tensors(args.folder / "character.npz", args.device)
    twin = load_twin(args.folder).to(args.device)
    predictor = load_twin(args.folder).to(args.device).eval()
    if args.compile:
        twin, predictor = torch.compile(twin), torch.compile(predictor)
    trainer = TorchTrainer(twin, TorchRigLoss(training["joint_count"], training["loss"]).to(args.device), training["optim"])

    def train() -> dict:
        return {"loss": trainer.step(batch)}  # .item() waits for the device

    def forward() -> dict:
        with torch.inference_mode():
            rig = predictor(character["points"], character["normals"], character["query"], character["query_normals"])
            return {"check": float(np.square(rig[2].cpu().numpy(), dtype=np.float64).sum())}

    serve({"train": train, "forward": forward})


if __name__ == "__main__":
    main()

"""What each part is worth: equal trainings from random weights that differ in one thing, measured on the same characters.

    python -m benchmarks.ablations --assets FOLDER --motion BANK.npz --dev FOLDER --runs OUT        trains what is missing
    python -m benchmarks.ablations --runs OUT --table docs/ablations.md                             the table of what is there

Every run is stage 2 of preset small on the same prepared data, seeds and step count; the held-out motion of the bank poses the
development characters. A run that was stopped goes on where it was.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from launch.page import write_block

ROOT = Path(__file__).resolve().parent.parent
COMMON = ("data.humans=3600", "data.mascots=2400", "data.queries=256", "data.rest_share=0.35", "optim.warmup=100")
REFERENCE = "reference"
CHANGES = {  # name -> what it sets; the reference first, then by part of the network, data and training
    REFERENCE: (),
    "MLP head instead of voting": ("network.joint_head='mlp'",),
    "no Fourier embedding": ("network.backbone.octaves=0",),
    "no self-attention in the backbone": ("network.backbone.depths=(0, 0)",),
    "four levels": ("network.backbone.widths=(64, 128, 256, 256)", "network.backbone.depths=(2, 2, 2)"),
    "no refinement": ("network.refine_depth=0",),
    "refinement: one block": ("network.refine_depth=1",),
    "refinement: one round": ("network.refine_rounds=1",),
    "refinement: no points of the finest level": ("network.fine_neighbours=0",),
    "skin: no pair geometry": ("network.decoder.use_pair_geometry=False",),
    "skin: no attention": ("network.decoder.use_attention=False",),
    "skin: cross-entropy only": ("loss.skin_l1=0.0", "loss.skin_ce=0.5"),
    "no posed-vertex loss": ("loss.posed=0.0",),
    "no bone-length and symmetry losses": ("loss.bone_length=0.0", "loss.symmetry=0.0"),
    "turned figures teach joints (no canonicalisation)": ("network.confidence=False",),
    "no figures given other proportions": ("data.stretched_share=0.0",),
    "no mascots": ("data.mascots=0",),
    "no real clothed characters": ("data.extra_share=0.01",),
    "512 points": ("data.points=512",),
    "2048 points": ("data.points=2048",),
    "no average of weights": ("optim.ema=0.0",),
    "the PCT baseline": ("model='pct'",),
}


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def train(args: argparse.Namespace, name: str, seed: int) -> Path:
    """One run, from the beginning or from where it stopped. Returns its best checkpoint."""
    run = f"{slug(name)}-{seed}"
    settings = [*COMMON, *CHANGES[name], f"optim.steps={args.steps}", f"validate_every={args.steps}", f"seed={seed}"]
    command = [sys.executable, "train_joint_model.py", "--stage", "finetune", "--preset", "small", "--name", run, "--resume",
               "--assets", str(args.assets), "--motion", str(args.motion), "--output", str(args.runs / "trained"),
               *(["--cache", str(args.cache)] if args.cache else []), *(part for s in settings for part in ("--set", s))]
    subprocess.run(command, cwd=ROOT, check=True)
    return args.runs / "trained" / run / "last"


def measure(args: argparse.Namespace, checkpoint: Path) -> dict:
    """Development characters at rest and under held-out motion, and the checkpoint's own validation."""
    out = args.runs / "evaluation.json"
    subprocess.run([sys.executable, "evaluate_joint_model.py", "--checkpoint", str(checkpoint), "--input", str(args.dev), "--joints", "22",
                    "--variants", "rest,posed", "--pose_bank", str(args.motion), "--json", str(out)], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    rows = {row["variant"]: row for row in json.loads(out.read_text())["rows"] if row["class"] == "all" and row["variant"] != "all"}
    out.unlink()
    validation = json.loads((checkpoint / "config.json").read_text())["extra"]["figures"]
    return {"dev": rows, "validation": validation}


def table(runs: Path) -> str:
    """Markdown: one row a change, means over its seeds, and the ratio of its J2J at rest to the reference's."""
    found: dict[str, list[dict]] = {}
    for file in sorted(runs.glob("*.json")):
        result = json.loads(file.read_text())
        found.setdefault(result["name"], []).append(result)
    if REFERENCE not in found:
        raise SystemExit(f"{runs}: has no result of the reference run; train it first")
    lines = ["| change | seeds | ratio | J2J rest | initial | posed | skin_l1 rest | validation J2J | skin_l1 |",
             "|---|---|---|---|---|---|---|---|---|"]
    base = mean_of(found[REFERENCE], "dev", "rest", "j2j")
    for name in CHANGES:
        if name in found:
            results = found[name]
            keys = (("rest", "j2j"), ("rest", "initial"), ("posed", "j2j"), ("rest", "skin_l1"))
            rest, initial, posed, skin = (mean_of(results, "dev", *way) for way in keys)
            val, val_skin = (mean_of(results, "validation", key) for key in ("val_j2j", "val_skin_l1"))
            numbers = " | ".join(f"{x:.4f}" for x in (rest, initial, posed, skin, val, val_skin))
            lines.append(f"| {name} | {len(results)} | {rest / base:.2f} | {numbers} |")
    return "\n".join(lines)


def mean_of(results: list[dict], *keys: str) -> float:
    values = []
    for value in results:
        for key in keys:
            value = value[key]
        values.append(value)
    return sum(values) / len(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of results, one JSON a run")
    parser.add_argument("--assets", type=Path)
    parser.add_argument("--motion", type=Path)
    parser.add_argument("--dev", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", choices=CHANGES, default=list(CHANGES), metavar="CHANGE")
    parser.add_argument("--table", type=Path, help="put the Markdown table between this file's marks instead of training")
    args = parser.parse_args()
    if args.table:
        write_block(args.table, "ablations", table(args.runs) + "\n")
        return
    args.runs = args.runs.resolve()
    args.runs.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for name in args.only:
            file = args.runs / f"{slug(name)}-{seed}.json"
            if not file.exists():
                result = {"name": name, "seed": seed, "steps": args.steps, "settings": [*COMMON, *CHANGES[name]],
                          **measure(args, train(args, name, seed))}
                file.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

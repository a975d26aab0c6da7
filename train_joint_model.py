"""Train the joint model (or the PCT baseline), on one device or many.

    python train_joint_model.py --stage pretrain --preset small
    python train_joint_model.py --stage finetune --init output/run-pretrain/best
    mpirun -np 2 python train_joint_model.py ...        every rank takes its share of each batch
    python train_joint_model.py ... --resume            goes on where a stopped run left off, with the same curve
    python train_joint_model.py ... --minutes 25        stops in time, with everything saved, for --resume to go on
    python train_joint_model.py ... --set optim.lr=5e-4 --set network.refine_depth=0

Without --data_root (a contest tree) it trains on generated humans, plus the folders given with --assets.
A run's folder output/<name>/ holds log.csv, curves.png, best/ and last/ (checkpoints of the averaged weights, with their config) and
state.safetensors (everything --resume needs).
"""

import argparse
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from launch.rank_failure import fail, name_rank_in_errors
from launch.runtime import SetupError, compile_note, start_jittor

name_rank_in_errors("train_joint_model")
try:
    jt = start_jittor()
except SetupError as error:
    sys.exit(fail("train_joint_model", error))
name_rank_in_errors("train_joint_model")  # again: Jittor has put its own way in place

import numpy as np  # noqa: E402  (Jittor starts first)
from tqdm import tqdm  # noqa: E402

from dataset.disk import explain  # noqa: E402
from geometry.kinematics import rotvec_to_matrix  # noqa: E402
from launch.build import build_model  # noqa: E402
from launch.checkpoint import check_keys, load_model, load_training_state, save_model, save_training_state  # noqa: E402
from launch.config import override, to_dict  # noqa: E402
from launch.door import enter  # noqa: E402
from launch.optimizer import AdamW, NonFinite, learning_rate  # noqa: E402
from launch.presets import PRESETS, TrainConfig  # noqa: E402
from launch.ranks_together import Meeting, RankTrouble, compare, guard, leave  # noqa: E402
from launch.training_data import DataPaths, TrainingData, open_data  # noqa: E402
from launch.training_log import TrainingLog, plot_curves  # noqa: E402
from models.losses import RigLoss  # noqa: E402
from models.metrics import j2j, ordered_error, skin_l1  # noqa: E402

STATE = "state.safetensors"


@dataclass
class Session:
    """What a running training consists of. ``best``: the lowest validation J2J so far. ``until``: on time.monotonic's clock, None: no end."""
    cfg: TrainConfig
    run: Path
    recipe: dict          # what build_model needs; travels with every checkpoint
    model: object
    optimizer: AdamW
    loss_of: RigLoss
    data: TrainingData
    log: TrainingLog | None
    best: float
    meeting: Meeting
    until: float | None = None


def start(cfg: TrainConfig, run: Path, data: TrainingData, resume: bool, init: Path | None) -> Session:
    """A fresh session, one that begins from a checkpoint's weights (init), or one that goes on exactly (resume)."""
    recipe = {"model": cfg.model, "network": to_dict(cfg.network if cfg.model == "transrefiner" else cfg.pct)}
    jt.set_global_seed(cfg.seed, different_seed_for_mpi=False)
    model = build_model(recipe)
    meeting = Meeting(cfg.rank_timeout)
    optimizer = AdamW(dict(model.named_parameters()), cfg.optim, before_exchange=meeting.wait)
    best = float("inf")
    if resume and (run / STATE).exists():
        arrays, meta = load_training_state(run / STATE)
        if meta["recipe"] != recipe:
            raise ValueError(f"{run / STATE} holds another network; resume with the options it was started with")
        optimizer.load_state(arrays, meta["step"])
        best = meta["best"] if meta["best"] is not None else best
    elif init is not None:
        params, _ = load_model(init)
        fresh = {n: p.numpy() for n, p in optimizer.named.items() if n not in params}
        check_keys({n: tuple(p.shape) for n, p in optimizer.named.items()}, {**params, **fresh}, str(init))
        if fresh and jt.rank == 0:
            print(f"{init} lacks {', '.join(sorted(fresh))}: these begin at random", file=sys.stderr)
        optimizer.start_from({**params, **fresh})
    log = TrainingLog(run / "log.csv", from_step=optimizer.step) if jt.rank == 0 else None
    return Session(cfg, run, recipe, model, optimizer, RigLoss(recipe["network"]["joint_count"], cfg.loss), data, log, best, meeting)


def train_step(model, loss_of: RigLoss, optimizer: AdamW, batch: dict[str, np.ndarray]) -> dict[str, float]:
    """One update. Returns the loss parts, the gradient's norm and the learning rate.

    Raises: NonFinite before anything has moved.
    """
    given = {key: jt.array(value) for key, value in batch.items() if key != "asset"}
    rig = model(given["points"], given["normals"], given["query"], given["query_normals"])
    parts = loss_of(rig, given)
    grads, norm = optimizer.gradients(parts["total"])
    lr = learning_rate(optimizer.cfg, optimizer.step)
    optimizer.update(grads, norm)
    values = jt.concat([part.reshape(1) for part in parts.values()]).numpy().tolist()
    return {**dict(zip(parts, values)), "gradient": norm, "lr": lr}


def evaluate(session: Session) -> dict[str, float]:
    """Fixed samples, averaged weights, eval mode; every figure is a mean over assets, not over batches. What no asset has is left out."""
    session.optimizer.swap_average()
    session.model.eval()
    rows = []
    for batch in session.data.validation_batches():
        rig = session.model(*(jt.array(batch[key]) for key in ("points", "normals", "query", "query_normals")))
        rows += asset_rows([np.asarray(part.numpy(), np.float64) for part in rig if part is not None], batch)
    session.model.train()
    session.optimizer.swap_average()
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return {f"val_{key}": float(np.nanmean(values)) for key, values in columns.items() if not np.isnan(values).all()}


def asset_rows(rig: list[np.ndarray], batch: dict[str, np.ndarray]) -> list[dict[str, float]]:
    """One row of figures per asset of a batch; only joints that are known count. expected: what the network thinks of "ordered"."""
    rows, expected_BJ = [], rig[3] if len(rig) > 3 else np.full(batch["joint_mask"].shape, np.nan)
    for initial, joints, skin, expected, truth, skin_truth, mask, skin_mask in zip(
            *rig[:3], expected_BJ, batch["joints"], batch["skin"], batch["joint_mask"], batch["skin_mask"]):
        known = mask > 0
        rows.append({"j2j_initial": j2j(initial[known], truth[known]), "j2j": j2j(joints[known], truth[known]),
                     "ordered": ordered_error(joints[known], truth[known]), "expected": float(expected[known].mean()),
                     "skin_l1": skin_l1(skin, skin_truth) if skin_mask > 0 else np.nan})
    return rows


def random_turns(rng: np.random.Generator, batch: int, parents: tuple) -> np.ndarray:
    """Global rotations (B, J, 3, 3) float32 of a random pose (each joint +-30 degrees a component), for the posed-vertex loss."""
    turn = rotvec_to_matrix(rng.uniform(-np.pi / 6, np.pi / 6, size=(batch, len(parents), 3)))
    for joint, parent in enumerate(parents):
        if parent is not None:
            turn[:, joint] = turn[:, parent] @ turn[:, joint]
    return turn.astype("float32")


def fit(session: Session) -> None:
    """Run to the last step of the config, or until the session's time is up; one step at least."""
    cfg, optimizer, parents, first = session.cfg, session.optimizer, session.loss_of.parents, session.optimizer.step
    bar = tqdm(total=cfg.optim.steps, initial=optimizer.step, disable=jt.rank != 0, unit="step", mininterval=5.0)
    for batch in session.data.train_batches(optimizer.step, cfg.optim.steps, jt.rank, jt.world_size):
        rng = np.random.default_rng([cfg.seed, 7, optimizer.step, jt.rank])
        batch["rotations"] = random_turns(rng, len(batch["points"]), parents)
        try:
            with compile_note("the network") if optimizer.step == first else nullcontext():
                row = train_step(session.model, session.loss_of, optimizer, batch)
        except NonFinite as error:
            raise NonFinite(f"step {optimizer.step}: {error}; assets of the batch: {', '.join(batch['asset'])}", error.mine) from None
        bar.update()
        stopping = time_is_up(session)
        saving = stopping or optimizer.step % cfg.save_every == 0 or optimizer.step == cfg.optim.steps
        check_ranks(session, saving)
        if jt.rank == 0:
            bar.set_postfix({k: f"{row[k]:.4f}" for k in ("total", "initial", "refined", "skin_l1")}, refresh=False)
            record(session, row, bar.format_dict["rate"], saving)
        if stopping:
            break
    bar.close()
    session.meeting.wait("the last step")


def time_is_up(session: Session) -> bool:
    """Whether rank 0's clock says so: all ranks stop after the same step. Looked at after every step; ranks ask each other when they compare."""
    cfg, step = session.cfg, session.optimizer.step
    late = session.until is not None and time.monotonic() >= session.until and step < cfg.optim.steps
    if jt.world_size == 1 or session.until is None:
        return late
    if step % (cfg.check_every or cfg.save_every):
        return False
    session.meeting.wait(f"step {step}")
    return bool(jt.array(np.int32([late and jt.rank == 0])).mpi_all_reduce("add").numpy()[0])


def check_ranks(session: Session, saving: bool) -> None:
    """Compare the ranks' parameters when the time has come, and before a state is saved.

    Raises: RankTrouble on every rank where they differ.
    """
    cfg, step = session.cfg, session.optimizer.step
    if jt.world_size == 1 or not (saving or cfg.check_every and step % cfg.check_every == 0):
        return
    mine = session.optimizer.fingerprint()
    session.meeting.wait(f"step {step}")
    compare(mine, f"step {step}")
    if saving:
        print(f"step {step} rank {jt.rank} of {jt.world_size}: parameters {mine:08x}", file=sys.stderr, flush=True)


def record(session: Session, row: dict[str, float], steps_per_s: float | None, saving: bool) -> None:
    """Validate, log and save when their time has come; rank 0 only."""
    cfg, step = session.cfg, session.optimizer.step
    checked = step % cfg.validate_every == 0 or step == cfg.optim.steps
    if checked:
        row = {**row, **evaluate(session)}
        if row["val_j2j"] < session.best:
            session.best = row["val_j2j"]
            save_checkpoint(session, "best", row)
    if checked or step % cfg.log_every == 0:
        session.log.write(step, {**row, "samples_per_s": (steps_per_s or 0.0) * cfg.optim.batch})
    if saving:
        save_checkpoint(session, "last", row)
        plot_curves(session.run / "log.csv", session.run / "curves.png")
        # last of all: what --resume goes on from must not be ahead of anything else in the folder
        meta = {"step": step, "best": session.best if np.isfinite(session.best) else None, "recipe": session.recipe}
        save_training_state(session.run / STATE, session.optimizer.state(), meta)


def save_checkpoint(session: Session, kind: str, row: dict[str, float]) -> None:
    """The averaged weights, as prediction reads them."""
    session.log.sync()  # fails, before anything is made anew, where the run's folder was removed
    params = {name: var.numpy() for name, var in session.optimizer.average.items()}
    config = {**session.recipe, "data": {"points": session.cfg.data.points}}
    extra = {"step": session.optimizer.step, "stage": session.cfg.stage, "training": to_dict(session.cfg),
             "figures": {k: v for k, v in row.items() if k.startswith("val_")}}
    save_model(session.run / kind, params, config, extra)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--stage", choices=("pretrain", "finetune"), default="pretrain", help="how samples are posed and rotated")
    parser.add_argument("--model", choices=("transrefiner", "pct"), default="transrefiner")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="small")
    parser.add_argument("--joints", type=int, choices=(22, 52), default=52)
    parser.add_argument("--name", help="the run's folder under --output (default: run-<stage>)")
    parser.add_argument("--output", type=Path, default=Path("output"))
    parser.add_argument("--init", type=Path,
                        help="checkpoint folder whose weights to begin with (finetune: OUTPUT/run-pretrain/best if there)")
    parser.add_argument("--resume", action="store_true", help="go on from the run's state, or begin when there is none")
    parser.add_argument("--minutes", type=float, help="stop after so many minutes with everything saved; --resume goes on")
    parser.add_argument("--data_root", type=Path, help="contest tree: lists and .npz files")
    parser.add_argument("--train_list", default="train_list.txt", help="under --data_root")
    parser.add_argument("--val_list", default="val_list.txt", help="under --data_root")
    parser.add_argument("--assets", type=Path, nargs="*", default=[], help="more folders of rigged .npz files, beside generated humans")
    parser.add_argument("--motion", type=Path, help="a pose bank (.npz) for finetuning's motion-capture poses "
                        "(default: poses by rule; a contest tree brings its tracks)")
    parser.add_argument("--cache", type=Path, default=Path("data/prepared"), help="where prepared assets are kept")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a config value, e.g. optim.lr=5e-4")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    began = time.monotonic()
    if args.minutes is not None and not args.minutes > 0:
        raise ValueError(f"--minutes must be more than 0, not {args.minutes:g}")
    folder, init = args.output / (args.name or f"run-{args.stage}"), args.init
    before = args.output / "run-pretrain" / "best"
    if init is None and args.stage == "finetune" and before.is_dir():
        init = before
    if args.data_root is not None and args.assets:
        raise ValueError("--assets adds to generated humans; with --data_root, put its files into the training list instead")
    cfg = override(replace(PRESETS[args.preset](args.joints), model=args.model, stage=args.stage), args.set)
    if cfg.optim.batch % jt.world_size:
        raise ValueError(f"a batch of {cfg.optim.batch} cannot be split over {jt.world_size} ranks; choose a multiple of their number, "
                         f"e.g. --set optim.batch={-(-cfg.optim.batch // jt.world_size) * jt.world_size}")
    if (folder / STATE).exists() and not args.resume:
        raise ValueError(f"{folder} holds a run already; add --resume to go on, or choose another --name")
    paths = DataPaths(args.data_root, args.train_list, args.val_list, tuple(args.assets), args.motion, args.cache)
    data = open_data(cfg, paths)
    folder.mkdir(parents=True, exist_ok=True)
    session = start(cfg, folder, data, args.resume, init)
    session.until = None if args.minutes is None else began + 60 * args.minutes
    try:
        fit(session)
    except (NonFinite, RankTrouble) as error:
        return fail("train_joint_model", error, 1, concerned=error.mine)
    except OSError as error:
        return fail("train_joint_model", f"{explain(error)}. What was saved before stands: add --resume to go on from it")
    finally:
        data.close()
    if session.optimizer.step < cfg.optim.steps and jt.rank == 0:
        print(f"train_joint_model: {args.minutes:g} minutes are over at step {session.optimizer.step} of {cfg.optim.steps}; "
              "the same command with --resume goes on", file=sys.stderr)
    return 0


def main(argv: list[str] | None = None) -> int:
    return enter("train_joint_model", run, parse(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    guard("train_joint_model")
    leave(main())

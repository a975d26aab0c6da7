"""Does a door tell what it should not? python -m tests.soak.leaks [--only predict train ...] [--umask 000 077]

Promised: with secrets in the environment, in success and in failure, no door prints or writes any of them. What it hands out (rigs,
reports, runs) names no folder of the maker's machine, nor the machine or the user; logs, as summary.json and the JSON of an evaluation,
name inputs as they were given. Temporary files are their user's alone under any umask, and gone at the end; files that are handed out
have the modes that the umask says. A door opens no socket, and does its work where there is no network at all.

Each door runs without a network, not even loopback (unshare -rn, where the system allows it). Exit code 1 on a breach.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from dataset.sources.npz import write_npz
from tests.dataset.figures import capsule_man
from tests.viewer.test_library import glb

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-3b9f07"
SECRETS = {"AWS_SECRET_ACCESS_KEY": CANARY, "HF_TOKEN": f"hf_{CANARY}", "GITHUB_TOKEN": f"ghp_{CANARY}", "DB_PASSWORD": CANARY,
           "http_proxy": f"http://{CANARY}:{CANARY}@127.0.0.1:9", "https_proxy": f"http://{CANARY}:{CANARY}@127.0.0.1:9",
           "PIP_INDEX_URL": f"https://{CANARY}:{CANARY}@127.0.0.1:9/simple", "WANDB_API_KEY": CANARY, "SSH_PRIVATE_KEY": CANARY,
           "USER": CANARY, "LOGNAME": CANARY}
ALONE = ("unshare", "-rn")
SHORTEST = 5    # letters of a machine's name that are looked for: a shorter one stands in any binary file
LOGS = ("summary.json", "m.json")
RANDOM_CHECKPOINT = ("import sys; from launch.runtime import start_jittor; start_jittor(); from pathlib import Path; "
                     "from tests.launch.random_checkpoint import save_random; save_random(Path(sys.argv[1]), joints=22, points=64)")
TINY = ("--preset", "tiny", "--joints", "22", "--set", "optim.steps=4", "--set", "save_every=2", "--set", "log_every=1",
        "--set", "validate_every=4", "--set", "data.humans=2", "--set", "data.val_humans=1")
NETS = ("tcp", "tcp6", "udp", "udp6")


@dataclass(frozen=True)
class Door:
    """words: its command, after the interpreter; {here} is the folder that prepare() filled. code: how it must end."""
    name: str
    words: tuple[str, ...]
    code: int


DOORS = (
    Door("predict", ("predict_joint_model.py", "--input", "{here}/in/hero.glb", "{here}/in/bad.glb", "{here}/in/gone.glb",
                     "--checkpoint", "{here}/net", "--output", "{here}/out", "--looks", "1"), 2),
    Door("predict vrm", ("predict_joint_model.py", "--input", "{here}/in/hero.glb", "--checkpoint", "{here}/net", "--output", "{here}/out",
                         "--looks", "1", "--dialect", "vrm"), 0),
    Door("predict without a checkpoint", ("predict_joint_model.py", "--input", "{here}/in/hero.glb", "--checkpoint", "{here}/nowhere",
                                          "--output", "{here}/out"), 2),
    Door("evaluate", ("evaluate_joint_model.py", "--input", "{here}/in/known.npz", "{here}/in/gone.npz", "--checkpoint", "{here}/net",
                      "--looks", "1", "--json", "{here}/out/m.json", "--plots", "{here}/out/plots"), 2),
    Door("train", ("train_joint_model.py", *TINY, "--stage", "pretrain", "--output", "{here}/out", "--cache", "{here}/out/prepared",
                   "--name", "run"), 0),
    Door("train with a bad asset", ("train_joint_model.py", *TINY, "--stage", "pretrain", "--output", "{here}/out",
                                    "--cache", "{here}/out/prepared", "--name", "run", "--assets", "{here}/broken"), 2),
    Door("view without a checkpoint", ("view_rig.py", "--checkpoint", "{here}/nowhere"), 2),
    Door("doctor", ("-m", "launch.doctor"), 0),
)


def prepare(here: Path) -> None:
    """Files for the doors: a rigged character, a broken one, an untrained network. A process of its own makes the last one."""
    glb(here / "in" / "hero.glb")
    write_npz(here / "in" / "known.npz", replace(capsule_man(22), cls="m3", id="known"))
    (here / "in" / "bad.glb").write_bytes(b"glTF\2\0\0\0\xff\xff\xff\xff garbage")
    (here / "broken").mkdir()
    (here / "broken" / "bad.npz").write_bytes(b"PK\3\4 garbage")
    subprocess.run([sys.executable, "-c", RANDOM_CHECKPOINT, str(here / "net")], cwd=ROOT, check=True)


def isolated() -> list[str]:
    """The words that start a command without a network; none where the system does not let us."""
    there = shutil.which(ALONE[0]) and subprocess.run([*ALONE, "true"], stderr=subprocess.DEVNULL).returncode == 0
    return list(ALONE) if there else []


def environment(tmp: Path) -> dict[str, str]:
    return os.environ | SECRETS | {"TMPDIR": str(tmp)}


def pass_through(door: Door, here: Path, umask: int, alone: list[str]) -> list[str]:
    """Run the door once. Returns what it broke, a sentence each."""
    for name in ("out", "tmp"):
        shutil.rmtree(here / name, ignore_errors=True)
        (here / name).mkdir()
    words = [word.format(here=here) for word in door.words]
    with (here / "said").open("wb") as said:
        process = subprocess.Popen([*alone, sys.executable, *words], cwd=ROOT, env=environment(here / "tmp"), stdin=subprocess.DEVNULL,
                                   stdout=said, stderr=said, umask=umask)
        seen = watch(process, here / "tmp")
    wrong_end = f"ended with {process.returncode}, not {door.code}: {(here / 'said').read_text(errors='replace')[-300:]}"
    return sorted(seen) + left_behind(here, umask) + told(here) + [wrong_end] * (process.returncode != door.code)


def watch(process: subprocess.Popen, tmp: Path) -> set[str]:
    """Until it ends: its sockets, and temporary files that others may look at."""
    seen = set()
    while process.poll() is None:
        seen |= {f"has a socket: {row}" for row in sockets(process.pid)} | exposed(tmp)
        time.sleep(0.02)
    return seen


def exposed(tmp: Path) -> set[str]:
    """Entries of the folder that somebody else than their owner could look into."""
    found = set()
    for entry in os.scandir(tmp):
        try:
            mode = entry.stat(follow_symlinks=False).st_mode & 0o777
        except FileNotFoundError:
            continue
        if mode & 0o077:
            found.add(f"temporary {entry.name} has mode {mode:o}")
    return found


def sockets(pid: int) -> list[str]:
    """The internet sockets of a process and its children, as "tcp local address state"."""
    inodes = set()
    for member in family(pid):
        try:
            links = [os.readlink(f"/proc/{member}/fd/{fd}") for fd in os.listdir(f"/proc/{member}/fd")]
        except OSError:     # it has ended, or this descriptor has
            continue
        inodes |= {link[8:-1] for link in links if link.startswith("socket:[")}
    rows = []
    for net in NETS if inodes else ():
        try:
            lines = Path(f"/proc/{pid}/net/{net}").read_text().splitlines()[1:]
        except OSError:
            continue
        rows += [f"{net} {line.split()[1]} {line.split()[3]}" for line in lines if line.split()[9] in inodes]
    return rows


def family(pid: int) -> list[int]:
    try:
        children = [int(child) for task in os.listdir(f"/proc/{pid}/task")
                    for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in family(child))]


def left_behind(here: Path, umask: int) -> list[str]:
    """Temporary files, and files handed out whose mode is not the one that the umask says."""
    wrong = [f"left {path.relative_to(here)}" for path in (here / "tmp").rglob("*")]
    for path in (here / "out").rglob("*"):
        wanted = (0o777 if path.is_dir() else 0o666) & ~umask
        if path.stat().st_mode & 0o777 != wanted:
            wrong.append(f"{path.relative_to(here)} has mode {path.stat().st_mode & 0o777:o}, not {wanted:o}")
    return wrong


def told(here: Path) -> list[str]:
    """Secrets in what was printed or written, and names of this machine in what was handed out."""
    names = {str(here), str(ROOT), f"{Path.home()}/"} | {name for name in [socket.gethostname()] if len(name) >= SHORTEST}
    wrong = [f"{path.relative_to(here)} holds a secret" for path in [here / "said", *files(here / "out"), *files(here / "tmp")]
             if CANARY.encode() in path.read_bytes()]
    return wrong + [f"{path.relative_to(here)} names {name}" for path in files(here / "out") for name in sorted(names)
                    if path.name not in LOGS and name.encode() in path.read_bytes()]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=[door.name for door in DOORS], default=[door.name for door in DOORS])
    parser.add_argument("--umask", nargs="+", type=lambda text: int(text, 8), default=[0o000, 0o022, 0o077])
    args = parser.parse_args()
    alone, breaches, began = isolated(), 0, time.monotonic()
    runs = [(door, umask) for door in DOORS if door.name in args.only for umask in args.umask]
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for door, umask in runs:
            broken = pass_through(door, Path(folder), umask, alone)
            breaches += len(broken)
            print(f"{door.name}, umask {umask:03o}: {'; '.join(broken) or 'ok'}", flush=True)
    print(f"{len(runs)} runs of {len(args.only)} doors, {len(SECRETS)} secrets, {'no network' if alone else 'network not taken away'}: "
          f"{breaches} breaches, {time.monotonic() - began:.0f} s")
    return int(breaches > 0)


if __name__ == "__main__":
    sys.exit(main())

"""The windows of the code that saves: killed before each change of a file, what is there is whole, old or new.

Used by the soaks of killing and of full disks.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dataset.exporter import replace_folder, sweep_leftovers, write_atomically
from dataset.prepared import load_prepared, prepare
from launch.checkpoint import load_model, load_training_state, save_model, save_training_state
from launch.training_log import TrainingLog, read_log
from tests.dataset.figures import capsule_man
from tests.soak.killing import contents, hidden, killed_before_each, watched


@dataclass(frozen=True)
class Window:
    """A way to save. old: makes what stands before, or nothing. save: is killed, and run again. whole: raises unless old or new is there.

    under: the folder in which it works; new content is what `save` leaves when nobody kills it.
    """
    name: str
    old: Callable[[Path], object]
    save: Callable[[Path], object]
    whole: Callable[[Path], object]


def _arrays(value: int) -> dict[str, np.ndarray]:
    return {name: np.full(50_000, value, "float32") for name in ("weight/a", "mean/a")}


def _state(place: Path, value: int) -> None:
    save_training_state(place / "state.safetensors", _arrays(value), {"step": value})


def _whole_state(place: Path) -> None:
    arrays, meta = load_training_state(place / "state.safetensors")
    assert meta["step"] in (1, 2) and all((a == meta["step"]).all() for a in arrays.values()), "a state of two times"


def _model(place: Path, value: int) -> None:
    save_model(place / "best", _arrays(value), {"width": 3}, {"step": value})


def _whole_model(place: Path) -> None:
    params, config = load_model(place / "best")
    values = {float(v) for a in params.values() for v in np.unique(a)}
    assert config == {"width": 3} and values in ({1.0}, {2.0}), f"weights of two times: {values}"


def _log(place: Path, last: int) -> None:
    log = TrainingLog(place / "log.csv", from_step=1)
    for step in range(2, last + 1):
        log.write(step, {"total": step / 3} | ({"val_j2j": step / 7} if step % 2 == 0 else {}))
    log.sync()


def _first_log(place: Path) -> None:
    TrainingLog(place / "log.csv", from_step=0).write(1, {"total": 1 / 3})


def _whole_log(place: Path) -> None:
    rows = read_log(place / "log.csv")
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1)), f"steps {[row['step'] for row in rows]}"
    assert all(row["total"] == row["step"] / 3 for row in rows), "a row with other figures than were written"


def _prepared(place: Path, key: str) -> None:
    men = [replace(capsule_man(22), id=name, source=name) for name in key]
    prepare(iter(men), place / "prepared", key)


def _whole_prepared(place: Path) -> None:
    if (place / "prepared").exists():     # absent between the two renames; it is made again from its sources
        found = load_prepared(place / "prepared")
        assert [found[i].id for i in range(len(found))] in (["a"], ["b", "c"]), "assets of two times"


def _folder(place: Path, value: int) -> None:
    def fill(fresh: Path) -> None:
        for name in ("a.npy", "b.npy", "report.json"):
            np.save(fresh / name, np.full(5_000, value)) if name.endswith("npy") else (fresh / name).write_text(str(value))
    replace_folder(place / "cls" / "id", fill)


def _whole_folder(place: Path) -> None:
    """The next start's sweep puts back what a kill between the two renames has moved aside."""
    sweep_leftovers(place / "cls", {"id"})
    folder = place / "cls" / "id"
    values = {float(np.load(folder / name)[-1]) for name in ("a.npy", "b.npy")} | {float((folder / "report.json").read_text())}
    assert values in ({1.0}, {2.0}) and len(list(folder.iterdir())) == 3, f"a folder of two times: {values}"


def _file(place: Path, value: int) -> None:
    write_atomically(place / "summary.json", b"%d" % value * 1000)


def _whole_file(place: Path) -> None:
    assert (place / "summary.json").read_bytes() in (b"1" * 1000, b"2" * 1000), "a torn file"


def _nothing(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)


def _or_absent(whole: Callable[[Path], object], path: str) -> Callable[[Path], object]:
    return lambda place: (place / path).exists() and whole(place)


TRAINING = (
    Window("training state over an older one", lambda p: _state(p, 1), lambda p: _state(p, 2), _whole_state),
    Window("first training state", _nothing, lambda p: _state(p, 2), _or_absent(_whole_state, "state.safetensors")),
    Window("checkpoint over an older one", lambda p: _model(p, 1), lambda p: _model(p, 2), _whole_model),
    Window("first checkpoint", _nothing, lambda p: _model(p, 2), _or_absent(_whole_model, "best/model.safetensors")),
    Window("log that a resumed run goes on with", _first_log, lambda p: _log(p, 6), _whole_log),
    Window("prepared data", _nothing, lambda p: _prepared(p, "bc"), _whole_prepared),
    Window("prepared data over older ones", lambda p: _prepared(p, "a"), lambda p: _prepared(p, "bc"), _whole_prepared),
)
PREDICTION = (
    Window("folder of a rig", _nothing, lambda p: _folder(p, 2), lambda p: (sweep_leftovers(p / "cls", {"id"}),
                                                                          _or_absent(_whole_folder, "cls/id")(p))),
    Window("folder of a rig over an older one", lambda p: _folder(p, 1), lambda p: _folder(p, 2), _whole_folder),
    Window("summary over an older one", lambda p: _file(p, 1), lambda p: _file(p, 2), _whole_file),
)


def pass_through(window: Window, place: Path) -> tuple[int, list[str]]:
    """Kill the window's saving before each change. Returns how many kills there were, and what was found broken."""
    broken: list[str] = []
    fresh(window, place)
    order = list(changes(window, place))
    broken += [f"{window.name}: {fault}" for fault in unsynced(order)]
    wanted = contents(place)

    def examine(count: int) -> None:
        try:
            window.whole(place)
            window.save(place)
            assert contents(place) == wanted, f"after a second attempt: {sorted(contents(place).items() ^ wanted.items())[:4]}"
            assert not hidden(place), f"left behind: {hidden(place)}"
        except Exception as error:      # whatever it is, it is a breach, and the next window is worth a look
            broken.append(f"{window.name}, killed before change {count} ({order[count - 1][0]} {Path(order[count - 1][1]).name}): "
                          f"{type(error).__name__}: {error}")
    kills = killed_before_each(lambda: window.save(place), place, lambda: fresh(window, place), examine)
    return kills, broken


def fresh(window: Window, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    window.old(place)


def changes(window: Window, place: Path) -> Iterator[tuple[str, str]]:
    """(what, path) of each change that the saving makes, in order."""
    met: list[tuple[str, str]] = []
    with watched(place, lambda what, path: met.append((what, path))):
        window.save(place)
    return iter(met)


def unsynced(order: list[tuple[str, str]]) -> Iterator[str]:
    """Renames whose content, or whose folder afterwards, was not synced: a loss of power could leave a name without its bytes."""
    for place, (what, path) in enumerate(order):
        if what != "rename" or ".old" in path:      # what is moved aside is removed, and was synced when it was made
            continue
        source, target = path.split(" -> ")
        opened = {p for w, p in order[:place] if w == "open" and (p == source or p.startswith(source + "/"))}
        synced = {p for w, p in order[:place] if w == "fsync"}
        yield from (f"{Path(p).name} is renamed before it was synced" for p in sorted(opened - synced))
        if source not in synced:
            yield f"{Path(source).name} is renamed before it was synced"
        if ("fsync", str(Path(target).parent)) not in order[place:]:
            yield f"the folder of {Path(target).name} is not synced after the rename"


def all_windows(place: Path, windows: tuple[Window, ...] = TRAINING) -> int:
    """Pass through all, say what came out, and return how many promises were broken."""
    found, total = [], 0
    for window in windows:
        kills, broken = pass_through(window, place)
        print(f"{window.name}: killed before each of {kills} changes, {len(broken)} broken")
        found += broken
        total += kills
    shutil.rmtree(place, ignore_errors=True)
    print("\n".join([*(f"BROKEN: {fault[:400]}" for fault in found[:10]), f"windows: {total} kills, {len(found)} breaches"]), flush=True)
    return len(found)

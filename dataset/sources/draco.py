"""Draco-compressed meshes, decoded in a process of their own.

Format: Google Draco, as KHR_draco_mesh_compression embeds it; library: DracoPy. On damaged data its decoder can crash, run for minutes
or take all memory, which no try can stop: so this file is also a small program (meshes in, .npz out) that is given a time and a memory
limit. It costs a fifth of a second for each file with such meshes.
"""

import io
import struct
import subprocess
import sys
from collections.abc import Sequence

import numpy as np

MEMORY, MEMORY_A_BYTE, MOST_MEMORY = 2 << 30, 500, 8 << 30
SECONDS, BYTES_A_SECOND = 3, 200_000  # of processor time; the slowest whole meshes decode ten times as fast
PATIENCE = 5                          # of the clock for each of these: the machine may be busy
MOST_BYTES = 2 << 30                  # of everything decoded
TIMED_OUT = 3
# Stands between us and the decoder and always exits by itself: Jittor ends a process whose child is killed by a signal.
GUARD = f"""
import signal, subprocess, sys
try:
    code = subprocess.run([sys.executable, "-I", sys.argv[1]], timeout=float(sys.argv[2])).returncode
    sys.exit({TIMED_OUT} if code == -signal.SIGXCPU else 1 if code else 0)
except subprocess.TimeoutExpired:
    sys.exit({TIMED_OUT})
"""
Decoded = tuple[dict[int, np.ndarray], np.ndarray]


def decode_draco(data: bytes) -> Decoded:
    """-> attribute id -> values (V, width), and faces (F, 3).

    Raises: ValueError when the data is broken, or takes the decoder too long or too much memory.
    """
    return decode_all([data])[0]


def decode_all(meshes: Sequence[bytes]) -> list[Decoded]:
    """Each of the meshes, as decode_draco, in one process for all. Raises: ValueError when any of them is broken."""
    request, limit = ask(meshes)
    done = subprocess.run([sys.executable, "-I", "-c", GUARD, __file__, str(PATIENCE * limit)], input=request, capture_output=True)
    if done.returncode == TIMED_OUT:
        raise ValueError(f"not decoded within {limit:.0f} s")
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(lines[-1] if lines else "the decoder crashed")
    return understand(done.stdout, len(meshes))


def ask(meshes: Sequence[bytes]) -> tuple[bytes, float]:
    """-> what the program below is given for these meshes, and the seconds of processor time that it may take."""
    limit = SECONDS + sum(map(len, meshes)) / BYTES_A_SECOND
    return struct.pack("<dQ", limit, len(meshes)) + b"".join(struct.pack("<Q", len(mesh)) + bytes(mesh) for mesh in meshes), limit


def understand(reply: bytes, count: int) -> list[Decoded]:
    """What the program below said of `count` meshes."""
    found: list[Decoded] = [({}, np.zeros((0, 3), np.uint32)) for _ in range(count)]
    with np.load(io.BytesIO(reply), allow_pickle=False) as arrays:
        for name in arrays.files:
            place, _, key = name.partition(" ")
            if key == "faces":
                found[int(place)] = (found[int(place)][0], arrays[name])
            else:
                found[int(place)][0][int(key)] = arrays[name]
    return found


def main() -> None:
    """stdin: what `ask` says; stdout: what `understand` takes."""
    sys.stdout.buffer.write(answer(sys.stdin.buffer.read()))


def answer(request: bytes) -> bytes:
    """An .npz of "k faces" and "k id" of each attribute of mesh k. It limits the process for good: never call it in one that lives on."""
    seconds, count = struct.unpack_from("<dQ", request)
    _limit(seconds, min(MEMORY + MEMORY_A_BYTE * len(request), MOST_MEMORY))
    import DracoPy
    at, size, arrays = struct.calcsize("<dQ"), 0, {}
    for k in range(count):
        length, = struct.unpack_from("<Q", request, at)
        mesh = DracoPy.decode(request[at + 8:at + 8 + length])
        at += 8 + length
        if getattr(mesh, "faces", None) is None:
            sys.exit("it holds points, and glTF's extension takes triangles alone")
        arrays |= {f"{k} faces": np.asarray(mesh.faces), **{f"{k} {a['unique_id']}": np.asarray(a["data"]) for a in mesh.attributes}}
        size += mesh.faces.nbytes + sum(a["data"].nbytes for a in mesh.attributes)
        if size > MOST_BYTES:
            sys.exit(f"it decodes to more than {MOST_BYTES >> 30} GiB")
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def _limit(seconds: float, memory: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    for what, least in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, int(seconds) + 1), (resource.RLIMIT_CORE, 0)):
        _, most = resource.getrlimit(what)
        resource.setrlimit(what, (least if most == resource.RLIM_INFINITY else min(least, most), most))


if __name__ == "__main__":
    main()

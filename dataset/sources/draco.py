"""Draco-compressed meshes, decoded in a process of their own.

Format: Google Draco, as KHR_draco_mesh_compression embeds it; library: DracoPy. On damaged data its decoder can run for minutes
or take all memory, which no try can stop: so this file is also a small program (bytes in, .npz out) that is given a time and a
memory limit. It costs a fifth of a second for each compressed mesh.
"""

import io
import subprocess
import sys

import numpy as np

MEMORY = 8 << 30
SECONDS, BYTES_A_SECOND = 20, 200_000  # the slowest whole meshes decode ten times as fast
TIMED_OUT = 3
# Stands between us and the decoder and always exits by itself: Jittor ends a process whose child is killed by a signal.
GUARD = f"""
import subprocess, sys
try:
    sys.exit(1 if subprocess.run([sys.executable, "-I", sys.argv[1]], timeout=float(sys.argv[2])).returncode else 0)
except subprocess.TimeoutExpired:
    sys.exit({TIMED_OUT})
"""


def decode_draco(data: bytes) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """-> attribute id -> values (V, width), and faces (F, 3).

    Raises: ValueError when the data is broken, or takes the decoder too long or too much memory.
    """
    limit = SECONDS + len(data) / BYTES_A_SECOND
    done = subprocess.run([sys.executable, "-I", "-c", GUARD, __file__, str(limit)], input=data, capture_output=True)
    if done.returncode == TIMED_OUT:
        raise ValueError(f"not decoded within {limit:.0f} s")
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(lines[-1] if lines else "the decoder crashed")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as arrays:
        return {int(key): arrays[key] for key in arrays.files if key != "faces"}, arrays["faces"]


def main() -> None:
    """stdin: one Draco mesh; stdout: .npz of `faces` and of each attribute under its id."""
    import DracoPy
    try:
        import resource
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most), most))
    except ImportError:  # not on Windows
        pass
    mesh = DracoPy.decode(sys.stdin.buffer.read())
    out = io.BytesIO()
    np.savez(out, faces=mesh.faces, **{str(a["unique_id"]): a["data"] for a in mesh.attributes})
    sys.stdout.buffer.write(out.getvalue())


if __name__ == "__main__":
    main()

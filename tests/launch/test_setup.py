"""launch/setup.sh on pretended machines: a PATH of chosen tools and an interpreter that writes down what it was asked to do."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "cat", "cut", "dirname", "env", "flock", "grep", "id", "mv", "nproc", "realpath", "rm", "sha256sum", "sleep",
         "taskset", "uname", "mkdir", "cp", "chmod")
PYTHON = """#!/usr/bin/env bash
case "$*" in
  *ensurepip*) echo "$0" ;;
  --version) echo "Python 3.11.9" ;;
  "-m venv"*) echo venv >> "$LOG"; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
  "-m pip --version") ;;
  "-m pip install -q --disable-pip-version-check --require-hashes"*) echo "pip ${*:7}" >> "$LOG"; sleep "${PIP_SECONDS:-0}"; exit "${PIP_EXIT:-0}" ;;
  *Python.h*) exit "${NO_HEADERS:-0}" ;;
  *find_onednn*) exit "${NO_ONEDNN:-0}" ;;
  *start_jittor*) echo "jittor${OMPI_COMM_WORLD_SIZE:-}" >> "$LOG"; echo started ;;
  "-m launch.compile_kernels") echo "kernels${OMPI_COMM_WORLD_SIZE:-}" >> "$LOG"; exit "${KERNELS_EXIT:-0}" ;;
  *"%d.%d"*) echo 3.11 ;;
  *find_spec*) case "$*" in *anny*) exit "${NO_ANNY:-0}" ;; esac ;;
  *) echo "ran $*" ;;
esac
"""


class Machine:
    """A repository's launch folder and lists, a bin folder, and a log of what the interpreter did."""

    def __init__(self, folder: Path):
        self.root, self.bin, self.log = folder / "repo", folder / "bin", folder / "log"
        (self.root / "launch").mkdir(parents=True)
        self.bin.mkdir()
        for script in (ROOT / "launch").glob("*.sh"):
            shutil.copy(script, self.root / "launch")
        shutil.copytree(ROOT / "launch" / "locks", self.root / "launch" / "locks")
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.program("python3.11", PYTHON)
        self.program("g++", "#!/usr/bin/env bash\n")

    def program(self, name: str, text: str) -> None:
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def start(self, *command: str, **env: str) -> subprocess.Popen:
        clean = {"PATH": str(self.bin), "HOME": str(self.root / "nobody"), "LOG": str(self.log), **env}
        return subprocess.Popen([str(self.bin / "bash"), *command], cwd=self.root, env=clean, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *command: str, **env: str) -> tuple[int, str, str]:
        process = self.start(*(command or ("launch/setup.sh",)), **env)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def steps(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path)


LOCKED = "pip --only-binary :all: "
DATA = LOCKED + "--no-deps -r launch/locks/requirements-data.lock"
SET_UP = ["venv", LOCKED + "-r launch/locks/requirements-build.lock",
          LOCKED + "--no-binary jittor --no-build-isolation -r launch/locks/requirements.lock", DATA, "jittor", "kernels"]


def test_a_fresh_machine_is_set_up_once(machine):
    code, _, err = machine.run()
    assert code == 0 and machine.steps() == SET_UP
    assert "Making .venv with Python 3.11.9" in err and "Ready after" in err
    assert machine.run() == (0, "", "") and machine.steps() == SET_UP


def test_changed_requirements_are_installed_again_into_the_same_venv(machine):
    machine.run()
    with open(machine.root / "launch" / "locks" / "requirements.lock", "a") as file:
        file.write("extra==1.0 --hash=sha256:00\n")
    assert machine.run()[0] == 0 and machine.steps() == SET_UP + SET_UP[1:]


def test_a_failed_install_stops_and_is_tried_again(machine):
    code, _, err = machine.run(PIP_EXIT="1")
    assert code == 1 and machine.steps() == SET_UP[:2] and "Ready" not in err
    assert machine.run()[0] == 0 and machine.steps() == SET_UP[:2] + SET_UP[1:]


def test_two_starts_at_once_set_up_once(machine):
    both = [machine.start("launch/setup.sh", PIP_SECONDS="0.5") for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0] and machine.steps() == SET_UP
    assert sum("waiting for it" in text for text in errors) == 1


def test_ranks_wait_and_jittor_is_compiled_outside_mpi(machine):
    ranks = [machine.start("launch/setup.sh", OMPI_COMM_WORLD_SIZE="2", OMPI_COMM_WORLD_RANK=str(r), PIP_SECONDS="0.2")
             for r in range(2)]
    assert [process.wait(timeout=60) for process in ranks] == [0, 0] and machine.steps() == SET_UP


def test_kernels_that_do_not_compile_stop_nobody(machine):
    code, _, err = machine.run(KERNELS_EXIT="2")
    assert code == 0 and machine.steps() == SET_UP and "at their first use instead" in err and "Ready after" in err


def test_no_fitting_python_is_explained(machine):
    (machine.bin / "python3.11").unlink()
    machine.program("python3", "#!/usr/bin/env bash\ncase \"$*\" in *ensurepip*) ;; esac\n")  # a Python 3.9: prints no path
    code, _, err = machine.run()
    assert code == 1 and "Python 3.11 or 3.12 with venv is needed" in err and "environment.yml" in err
    machine.program("mine", PYTHON)
    assert machine.run(TRANSREFINER_PYTHON="mine")[0] == 0


def test_no_compiler_and_no_root_names_the_command(machine):
    (machine.bin / "g++").unlink()
    machine.program("id", "#!/usr/bin/env bash\necho 1000\n")
    code, _, err = machine.run()
    assert code == 1 and "sudo apt-get install g++ libgomp1" in err and "jittor" not in machine.steps()


def test_system_packages_are_installed_where_that_is_allowed(machine):
    (machine.bin / "g++").unlink()
    machine.program("id", "#!/usr/bin/env bash\necho 1000\n")
    machine.program("sudo", '#!/usr/bin/env bash\n[ "$1" = -n ] && shift\n[ "$1" = true ] || exec "$@"\n')
    machine.program("apt-get", f'#!/usr/bin/env bash\necho "apt $*" >> "$LOG"\ncp {machine.bin}/sleep {machine.bin}/g++\n')
    assert machine.run()[0] == 0
    assert machine.steps()[4:] == ["apt install -y -qq --no-install-recommends g++ libgomp1", "jittor", "kernels"]


def test_no_headers_stop_with_the_package_to_install(machine):
    machine.program("id", "#!/usr/bin/env bash\necho 1000\n")
    code, _, err = machine.run(NO_HEADERS="1")
    assert code == 1 and "sudo apt-get install python3.11-dev" in err and "Python.h" in err


def test_without_onednn_the_wheels_come(machine):
    machine.program("id", "#!/usr/bin/env bash\necho 1000\n")
    machine.program("uname", "#!/usr/bin/env bash\necho x86_64\n")
    code, _, err = machine.run(NO_ONEDNN="1")
    assert code == 0 and "sudo apt-get install libdnnl-dev" in err
    assert machine.steps()[4:] == [LOCKED + "--no-deps -r launch/locks/requirements-onednn.lock", "jittor", "kernels"]


def test_an_active_conda_environment_with_jittor_is_used(machine):
    conda = machine.root.parent / "conda"
    (conda / "bin").mkdir(parents=True)
    shutil.copy(machine.bin / "python3.11", conda / "bin" / "python")
    assert machine.run("-c", "source launch/setup.sh; echo $PYTHON", CONDA_PREFIX=str(conda)) == (0, f"{conda}/bin/python\n", "")
    assert not machine.steps()
    assert machine.run(CONDA_PREFIX=str(conda), NO_ANNY="1")[0] == 0
    assert machine.steps() == [DATA, "jittor", "kernels"]
    assert machine.run(CONDA_PREFIX="/nowhere")[0] == 0 and machine.steps()[3:] == SET_UP


@pytest.mark.parametrize("env, threads", [
    ({"OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, "4"), ({"OMPI_COMM_WORLD_LOCAL_SIZE": "99"}, "1"),
    ({"OMPI_COMM_WORLD_LOCAL_SIZE": "2", "OMP_NUM_THREADS": "7"}, "7"), ({}, "unset")])
def test_ranks_share_the_cores(machine, env, threads):
    machine.program("nproc", "#!/usr/bin/env bash\necho 8\n")
    machine.run()
    assert machine.run("-c", "source launch/setup.sh; echo ${OMP_NUM_THREADS-unset}", **env)[1] == f"{threads}\n"


def test_the_scripts_call_their_doors(machine):
    machine.run()
    (machine.root / "data" / "examples").mkdir(parents=True)
    (machine.root / "a b.glb").touch()
    predict = "launch/predict_joint_model.sh"
    for script, args, want in [
            ("launch/pretrain_joint_model.sh", ["--set", "a=1"], "train_joint_model.py --stage pretrain --set a=1"),
            ("launch/finetune_joint_model.sh", [], "train_joint_model.py --stage finetune"),
            ("launch/test.sh", ["-k", "x"], "-m pytest -n 2 --dist loadfile -k x"),
            (predict, [], "predict_joint_model.py --input data/examples"),
            (predict, ["--joints", "22"], "predict_joint_model.py --input data/examples --joints 22"),
            (predict, ["a b.glb", "/x/c.vrm", "--joints", "22"], "predict_joint_model.py --input a b.glb /x/c.vrm --joints 22"),
            (predict, ["--help"], "predict_joint_model.py --help"),
            (predict, ["--data_list=l.txt"], "predict_joint_model.py --data_list=l.txt"),
            ("launch/teach_refiner.sh", ["--humans", "9"], "-m launch.teach_refiner --humans 9"),
            ("launch/evaluate_joint_model.sh", ["--input", "x"], "evaluate_joint_model.py --input x")]:
        assert machine.run(script, *args) == (0, f"ran {want}\n", "")


def test_files_are_named_from_where_the_user_stands(machine):
    machine.run()
    (machine.root / "deep").mkdir()
    out = machine.run("-c", "cd deep && bash ../launch/predict_joint_model.sh man.glb")[1]
    assert out == "ran predict_joint_model.py --input deep/man.glb\n"


def test_examples_are_made_once_and_whole(machine):
    machine.run()
    maker = PYTHON.replace('*) echo "ran $*" ;;', '*examples.part*) echo made >> "$LOG"; mkdir -p data/examples.part; exit "${MAKER_EXIT:-0}" ;;\n'
                           '  *) echo "ran $*" ;;')
    (machine.root / ".venv" / "bin" / "python").write_text(maker)
    predict = "launch/predict_joint_model.sh"
    assert machine.run(predict, MAKER_EXIT="3")[0] == 3 and not (machine.root / "data" / "examples").exists()
    for _ in range(2):
        assert machine.run(predict)[:2] == (0, "ran predict_joint_model.py --input data/examples\n")
    assert machine.steps().count("made") == 2


def test_the_ci_runs_the_readmes_command():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[-1] == "bash launch/test.sh" and os.access(ROOT / ".ci" / "run", os.X_OK)
    for script in (ROOT / "launch").glob("*.sh"):
        assert os.access(script, os.X_OK) and "JITTOR_HOME=" not in script.read_text()

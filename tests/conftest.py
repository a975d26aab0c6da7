"""Start Jittor once, in the project's way, before any test is collected; markers for what needs more than a CPU and seconds."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from launch.runtime import has_gpu, start_jittor  # noqa: E402


def pytest_configure(config):
    # outside pytest's capture: what is said about a long compile is seen, and a program that must start again keeps its output
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        start_jittor()
    config.addinivalue_line("markers", "gpu: needs a CUDA device; skipped without one")


def pytest_collection_modifyitems(items):
    if not has_gpu():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data beside the project, where a machine has it; tests that want it are skipped elsewhere."""
    folder = Path(os.environ.get("TRANSREFINER_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no development data in {folder}")
    return folder

"""The quick part of tests/soak/load.py: eight files, four of them bad, through the real script, twice; and the breaches it must see."""

import json

import pytest

from tests.launch.random_checkpoint import save_random
from tests.soak.load import Moment, batch_breaches, growth_breaches, slope, soak

STEADY = [Moment(float(k), k, 300.0 + k % 7, 25 - k % 3, 13, 0) for k in range(400)]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("load")
    save_random(folder / "tiny", joints=22, points=64)
    return folder, *soak(folder, 8, 4, 3, ["--checkpoint", str(folder / "tiny")])


def test_good_ones_are_written_bad_ones_listed_and_again_nothing_is_done(done):
    _, figures, breaches, ended = done
    assert breaches == [] and (figures["code"], figures["bad"]) == (2, 4) and "seconds_again" in figures
    assert max(m.rss_mib for m in ended.moments) > 100 and max(m.files for m in ended.moments) > 3 and ended.moments[-1].done <= 4


def test_what_is_wrong_is_seen(done):
    folder, _, _, ended = done
    names = {row["input"]: row["folder"] is not None
             for row in json.loads((folder / "out" / "load" / "summary.json").read_text())["results"]}
    rigs = sorted((folder / "out" / "load").glob("*/*/"))
    (rigs[0] / "predict_skin.npy").write_bytes(b"cut short")
    (rigs[1] / "preview.png").unlink()
    (rigs[2].parent / ".half.77.new").mkdir()
    found = list(batch_breaches(folder, {name: True for name in names}, ended._replace(code=1)))
    for part in ("exit code 1", "not whole", "report.json names", "left behind", "is good and was not rigged"):
        assert any(part in breach for breach in found), part


def test_memory_that_grows_is_seen():
    assert abs(slope(STEADY)) < 1 and list(growth_breaches(STEADY)) == []
    leak = [m._replace(rss_mib=m.rss_mib + 0.05 * m.done) for m in STEADY]
    assert slope(leak) == pytest.approx(50, abs=1) and "memory grows" in next(growth_breaches(leak))
    for name in ("files", "threads", "temporary"):
        more = [m._replace(**{name: getattr(m, name) + m.done // 100}) for m in STEADY]
        assert next(growth_breaches(more)).startswith(name)

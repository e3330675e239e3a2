"""The page of a run in a real browser: it draws, it answers, it says nothing on the console, and asks no network."""

import re
import shutil
import subprocess

import pytest

from parampi.run.page.writing import page_text
from tests.run.pages import ABOVE, Reader, large_report, source_of

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium is installed (apt-get install chromium)")
USED = """<script>
  const heat = document.getElementById("heat"), body = document.body.dataset;
  const put = (id, value) => {
    const choice = document.getElementById(id);
    choice.value = value;
    choice.dispatchEvent(new Event("change"));
  };
  const press = (...keys) => keys.forEach((key) => heat.dispatchEvent(new KeyboardEvent("keydown", {key})));
  const told = () => document.getElementById("reading").textContent;
  const colours = () => {
    const all = heat.getContext("2d").getImageData(0, 0, heat.width, heat.height).data;
    return new Set(Array.from({length: all.length / 4}, (_, k) => all.slice(4 * k, 4 * k + 3).join())).size;
  };
  body.chosen = document.getElementById("member").value;
  body.colours = colours();
  body.drawn = heat.dataset.drawn;
  press("ArrowDown", "ArrowDown", "ArrowRight");
  body.first = told();
  put("order", "flag");
  put("view", "rounds");
  press("ArrowRight", "Enter");
  body.second = told();
  body.then = document.getElementById("member").value;
  console.log("used");
</script></body>"""


def opened(page, *options):
    """What the page is after its scripts, and what the browser says."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@needs_browser
def test_a_page_of_64_members_draws_and_answers(tmp_path):
    report = large_report(64, 16, 100)
    text = page_text(source_of(tmp_path, report), fields=False)
    page = tmp_path / "page.html"
    page.write_text(text.replace("</body>", USED))
    dom, console = opened(page, "--dump-dom", "--virtual-time-budget=2000")
    assert len(console) == 1 and '"used"' in console[0]
    tags = {found.get("id"): found for _, found in Reader(dom).tags}
    assert tags["heat"]["data-drawn"] == f"64x{max(map(len, report.residuals.values()))}"
    assert tags["single"]["data-drawn"] == f"{len(report.residuals[ABOVE])}x100"
    body = next(found for tag, found in Reader(dom).tags if tag == "body")
    assert body["data-drawn"] == "64x100" and int(body["data-colours"]) > 5
    assert body["data-chosen"] == body["data-then"] == str(ABOVE)
    assert re.match(r"member 2, point 1 \(noise level [\d.]+\): rounds \d+\. In all \d+ rounds", body["data-first"])
    assert re.match(r"member 9, round 2: largest change [\d.e-]+\. .*\(above the tolerance\)", body["data-second"])

"""The page of a run in a real browser: it draws, it answers, it says nothing on the console, and asks no network."""

import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from parampi.report import Residuals
from parampi.run.page.writing import page_text
from tests.run.pages import ABOVE, Reader, large_report, source_of
from tests.small import write_conditions

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


LOOKED_AT = """<script>
  const told = (id) => document.getElementById(id).textContent, body = document.body.dataset;
  const scale = () => `${told("heat-low")}|${told("heat-high")}|${document.getElementById("heat-scale").clientWidth}`;
  const heat = document.getElementById("heat"), view = document.getElementById("view");
  body.first = `${view.value} ${heat.dataset.drawn} ${told("heat-caption")}: ${scale()}`;
  heat.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
  body.cell = told("reading");
  view.value = "points";
  view.dispatchEvent(new Event("change"));
  body.second = scale();
</script></body>"""


@needs_browser
def test_a_page_of_a_roll_out_shows_all_lead_times_and_one_value_as_one_colour(tmp_path):
    write_conditions(tmp_path / "c.nc")
    leads = {"condition__files": "c.nc", "condition__variables": ["vorticity"], "condition__lead_times": 4}
    report = large_report(2, 1, 12)
    report.residuals = {number: [Residuals(k + 1, k, [0.1]) for k in range(12)] for number in range(2)}  # each point once
    report.members = [replace(one, lead=lead, rounds=7 + lead) for one in report.members for lead in range(4)]
    page = tmp_path / "page.html"
    page.write_text(page_text(source_of(tmp_path, report, **leads), fields=False).replace("</body>", LOOKED_AT))
    dom, console = opened(page, "--dump-dom", "--virtual-time-budget=2000")
    body = next(found for tag, found in Reader(dom).tags if tag == "body")
    assert not console and body["data-first"] == "leads 2x4 Rounds that each lead time took: 7|10 rounds|180"
    assert re.match(r"member 0, 2001-01-01 00:00, lead time 12 hours: rounds 8\. In all 7 rounds", body["data-cell"])
    assert body["data-second"] == "|1 round|12"


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

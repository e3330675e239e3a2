"""Runs that are killed at random moments and taken up by other ranks until they end: the same bits, and no litter."""

import random
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.campaign.tally import Tally
from tests.ranks.test_resume import assert_same, kill, project, ranks_of, start, uninterrupted
from tests.small import write_conditions

GIVEN = {"condition__files": "cond.nc", "condition__variables": ["vorticity"]}
VARIANTS: dict[str, dict[str, Any]] = {
    "gather": {"output__mode": "gather"},
    "merged": {"output__mode": "merged"},
    "virtual": {"output__mode": "virtual"},
    "spectral": {"sampling__solver": {"name": "spectral"}},
    "parareal": {"sampling__solver": {"name": "parareal", "blocks": 4}, "sampling__window": None, "sampling__members": 3},
    "conditions": {**GIVEN, "sampling__members": 3, "condition__select": [2, 0]},
    "roll-out": {**GIVEN, "sampling__members": 3, "condition__select": [1], "condition__lead_times": 2},
}
MOST = 12
"""Kills of one run, before it is left alone."""
PATIENCE = 60.0
"""Seconds in which a job that lost a rank must end, and a run that is left alone."""


def campaign(folder: Path, count: int, seed: int) -> Tally:
    """Kill `count` times, runs of all variants in turn."""
    chance, tally, turn, expected = random.Random(seed), Tally(), 0, {}
    while tally.outcomes["kills"] < count:
        name = list(VARIANTS)[turn % len(VARIANTS)]
        changes = {"output__figure": None, **VARIANTS[name]}
        if name not in expected:
            (folder / "conditions").mkdir(exist_ok=True)
            write_conditions(folder / "conditions" / "cond.nc")
            if "condition__files" in changes:
                changes["condition__files"] = str(folder / "conditions" / "cond.nc")
            expected[name] = changes, uninterrupted(folder / name, **changes)
        home = folder / f"{name}-{turn}"
        home.mkdir()
        one_run(home, expected[name][0], chance, tally, count)
        judge(home, name, expected[name][1], tally)
        turn += 1
    return tally


def one_run(home: Path, changes: dict[str, Any], chance: random.Random, tally: Tally, count: int) -> None:
    """Start, kill and take up a run until it ends by itself."""
    config, out, kills = project(home, 0.1, **changes), home / "out", 0
    while True:
        ranks = chance.choice([1, 2, 3])
        pids: list[int] = []
        going_on = any(out.glob(".parampi-*/run.json"))
        job = start(ranks, *(["resume", out] if going_on else ["run", config, "--overwrite"]))
        leave = kills >= MOST or tally.outcomes["kills"] >= count
        if not (leave or stopped_within(job, chance.uniform(0.1, 4.0))):
            kills += 1
            tally.outcomes["kills"] += 1
            pids = ranks_of(job)
            victims = {"job": [*pids, job.pid], "launcher": [job.pid], "rank": [chance.choice(pids or [job.pid])]}
            kill(victims[chance.choice(["job", "launcher", "rank"])])
        if not stopped_within(job, PATIENCE):
            tally.troubles.append(f"{home.name}: a job of {ranks} ranks hung")
            kill([*ranks_of(job), job.pid])
        output = job.communicate()[0]
        kill(pids)  # ranks outlive a launcher that was killed, and hold the lock
        if job.returncode == 0 and (out / "ensemble.nc").is_file() and not any(out.glob(".parampi-*/run.json")):
            return
        if leave:
            tally.troubles.append(f"{home.name}: could not be taken up: {output.strip().splitlines()[-1:]}")
            return


def stopped_within(job: "subprocess.Popen[str]", seconds: float) -> bool:
    until = time.monotonic() + seconds
    while job.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    return job.poll() is not None


def judge(home: Path, name: str, expected: Any, tally: Tally) -> None:
    """Compare with the run that was not killed, and look for litter."""
    out = home / "out"
    try:
        assert_same(out / "ensemble.nc", expected)
        tally.outcomes["runs with the same bits"] += 1
    except Exception as error:
        tally.troubles.append(f"{home.name}: {type(error).__name__}: {error}")
    usual = {"ensemble.nc", "report.json", *(["ensemble.nc.parts"] if name == "virtual" else [])}
    if litter := {path.name for path in out.iterdir()} - usual:
        tally.troubles.append(f"{home.name}: litter: {sorted(litter)}")

"""Runs that are killed at random moments and taken up by other ranks until they end: the same bits, and no litter."""

import random
import re
import subprocess
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from parampi.fields import STORES
from parampi.fields.stores.parts import PARTS, attribute_of
from tests.campaign.tally import Tally
from tests.ranks.test_resume import assert_same, kill, project, ranks_of, start, uninterrupted
from tests.ranks.test_stores import PARALLEL
from tests.small import write_conditions

GIVEN = {"condition__files": "cond.nc", "condition__variables": ["vorticity"]}
KINDS: dict[str, dict[str, Any]] = {
    "members": {},
    "conditions": {**GIVEN, "sampling__members": 3, "condition__select": [2, 0]},
    "roll-out": {**GIVEN, "sampling__members": 3, "condition__select": [1], "condition__lead_times": 2},
    "flight": {
        **GIVEN,
        "sampling__members": 2,
        "condition__select": [1, 0],
        "condition__lead_times": 4,
        "sampling__flight": 2,
        "sampling__window": None,
        "sampling__solver": {"name": "spectral"},
        "parallel__network_batch": 32,
    },
    "spectral": {"sampling__solver": {"name": "spectral"}},
    "parareal": {"sampling__solver": {"name": "parareal", "blocks": 4}, "sampling__window": None, "sampling__members": 3},
}
"""What is drawn."""
MODES = [name for name, store in STORES.items() if store.schema_file and (PARALLEL or not store.collective)]
"""How it is written: every store that the installed libraries can write, mpio among them where h5py can."""
VARIANTS = [
    *((kind, mode) for mode in MODES for kind in ("members", "conditions", "roll-out")),
    ("spectral", "auto"),
    ("parareal", "auto"),
    ("flight", "auto"),
]
FLIGHTS = [("flight", mode) for mode in ("auto", "virtual")]
"""Variants whose lead times are swept together."""
MOST = (1, 3, 12)
"""Kills of one run, before it is left alone: one of these."""
PATIENCE = 60.0
"""Seconds in which a job that lost a rank must end."""
ALONE = 240.0
"""Seconds in which a run that is left alone must end, on cores that it shares with other tests too."""


def campaign(folder: Path, count: int, seed: int, variants: Sequence[tuple[str, str]] = VARIANTS) -> Tally:
    """Kill `count` times, runs of all variants in turn, which begin anywhere."""
    chance, tally, expected = random.Random(seed), Tally(), dict[str, Any]()
    write_conditions(folder / "cond.nc")
    for turn, (kind, mode) in enumerate(cycle(chance.sample(variants, len(variants)))):
        if tally.outcomes["kills"] >= count:
            return tally
        changes = {"output__figure": None, **KINDS[kind]}
        if "condition__files" in changes:
            changes["condition__files"] = str(folder / "cond.nc")
        if kind not in expected:
            expected[kind] = uninterrupted(folder / kind, **changes)
        home = folder / f"{kind}-{mode}-{turn}"
        home.mkdir()
        tally.outcomes[f"runs of {kind} by {mode}"] += 1
        one_run(home, changes | {"output__mode": mode}, chance, tally, count)
        judge(home, mode, expected[kind], tally)
    return tally


def one_run(home: Path, changes: dict[str, Any], chance: random.Random, tally: Tally, count: int) -> None:
    """Start, kill and take up a run until it ends by itself."""
    config, out, kills, most = project(home, 0.1, **changes), home / "out", 0, chance.choice(MOST)
    while True:
        ranks = chance.choice([2, 3] if changes["output__mode"] == "mpio" else [1, 2, 3])
        pids: list[int] = []
        going_on = any(out.glob(".parampi-*/run.json"))
        job = start(ranks, *(["resume", out] if going_on else ["run", config, "--overwrite"]))
        leave = kills >= most or tally.outcomes["kills"] >= count
        if not (leave or stopped_within(job, chance.uniform(0.1, 4.0))):
            kills += 1
            tally.outcomes["kills"] += 1
            pids = ranks_of(job)
            victims = {"job": [*pids, job.pid], "launcher": [job.pid], "rank": [chance.choice(pids or [job.pid])]}
            kill(victims[chance.choice(["job", "launcher", "rank"])])
        patience = PATIENCE if pids else ALONE
        hung = not stopped_within(job, patience)
        if hung:
            kill([*ranks_of(job), job.pid])
        output = job.communicate()[0]
        if hung:
            lines = output.strip().splitlines()[-3:]
            tally.troubles.append(f"{home.name}: a job of {ranks} ranks had not ended after {patience:g} s; it said {lines}")
        kill(pids)  # ranks outlive a launcher that was killed, and hold the lock
        if (
            job.returncode == 0
            and ensemble_of(home, changes["output__mode"]).exists()
            and not any(out.glob(".parampi-*/run.json"))
        ):
            return
        if leave:
            tally.troubles.append(f"{home.name}: could not be taken up: {output.strip().splitlines()[-8:]}")
            return


def stopped_within(job: "subprocess.Popen[str]", seconds: float) -> bool:
    until = time.monotonic() + seconds
    while job.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    return job.poll() is not None


def ensemble_of(home: Path, mode: str) -> Path:
    """Return the ensemble that a run writes in this mode."""
    return home / "out" / f"ensemble{STORES[mode].ending if mode in STORES else '.nc'}"


def judge(home: Path, mode: str, expected: Any, tally: Tally) -> None:
    """Compare with the run that was not killed, and look for litter."""
    out, ensemble = home / "out", ensemble_of(home, mode)
    try:
        assert_same(ensemble, expected)
        tally.outcomes["runs with the same bits"] += 1
    except Exception as error:
        tally.troubles.append(f"{home.name}: {type(error).__name__}: {error}")
    usual = {ensemble.name, "report.json", "run.log"}
    if parts := attribute_of(ensemble, PARTS).split():
        usual |= {"ensemble.nc.parts", *parts}
    usual |= {
        str(path.relative_to(out)) for path in ensemble.rglob("*") if re.fullmatch(r"zarr\.json|c(\.\d+)*|\w+", path.name)
    }
    if litter := {str(path.relative_to(out)) for path in out.rglob("*")} - usual:
        tally.troubles.append(f"{home.name}: litter: {sorted(litter)}")

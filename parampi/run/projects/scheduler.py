"""Noise levels and sampler of a folder of diffusers, as its scheduler has them."""

from pathlib import Path
from typing import Any

from parampi.diffusion.training_tables import read_scheduler
from parampi.networks.diffusers_folder import scheduler_file
from parampi.run.projects.example import sampling
from parampi.run.projects.project import CHECK, FILL, Line, reference

STEPS = 50
SAMPLERS = {
    "DDPM": "ddpm",
    "DPMSolverMultistep": "dpmpp_2m",
    "EulerAncestral": "euler_ancestral",
    "UniPC": "unipc",
}
"""Samplers by the beginnings of schedulers' names; the others draw by DDIM."""


def sampling_of(path: Path, folder: Path) -> list[Line]:
    """Return the section `sampling` of a folder's scheduler."""
    file = scheduler_file(path)
    if file is None:
        table = {"schedule": "vp_linear", "steps": STEPS}
        return sampling(table, {"name": "ddim"}, remark=f"{FILL}: the schedule of the training; the folder has no scheduler")
    scheduler = read_scheduler(file)
    name = str(scheduler["_class_name"])
    sampler: dict[str, object] = {"name": next((ours for start, ours in SAMPLERS.items() if name.startswith(start)), "ddim")}
    if name.startswith("FlowMatch"):
        return sampling({"schedule": "flow", "steps": STEPS, "shift": float(scheduler.get("shift") or 1.0)}, {"name": "ddim"})
    if name.startswith("EDM"):
        levels = {"sigma_min": float(scheduler.get("sigma_min", 0.002)), "sigma_max": float(scheduler.get("sigma_max", 80.0))}
        return sampling({"schedule": "karras", "steps": 18} | levels, {"name": "heun"})
    return sampling(table_of(scheduler, reference(file, folder)), sampler)


def table_of(scheduler: dict[str, Any], file: str) -> dict[str, object]:
    """Return the noise levels of a scheduler's training times."""
    spacing, offset = scheduler.get("timestep_spacing", "leading"), int(scheduler.get("steps_offset", 0))
    steps = min(STEPS, int(scheduler.get("num_train_timesteps", 1000)))
    table: dict[str, object] = {"schedule": "vp_table", "file": file, "steps": steps, "spacing": spacing}
    return table | ({"steps_offset": offset} if offset and spacing == "leading" else {})


def clipping(path: Path) -> list[Line]:
    """Return the line of the section `model` for a scheduler that clips clean fields at every step; DDIM's own clips the
    field, and not the noise."""
    file = scheduler_file(path)
    scheduler = read_scheduler(file) if file else {}
    remarks = []
    if scheduler.get("thresholding"):
        remarks.append("the scheduler's dynamic thresholding is model.threshold")
    if scheduler.get("clip_sample") and str(scheduler["_class_name"]).startswith("DDIM"):
        remarks.append("as with use_clipped_model_output=True of DDIMScheduler; its default clips the field and not the noise")
    limit = float(scheduler.get("clip_sample_range", 1.0)) if scheduler.get("clip_sample") else None
    return [Line("clip", limit, f"{CHECK}: {'; '.join(remarks)}" if remarks else "")] if limit or remarks else []

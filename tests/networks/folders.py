"""Small networks as other frameworks keep them: a folder of diffusers, and the layout of physicsnemo's archives."""

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch


def diffusers_folder(folder: Path, *, channels: int = 1, given: int = 0, size: int = 16, **scheduler: Any) -> Any:
    """Write a pipeline with a small U-Net and DDIMScheduler(**scheduler); return the U-Net."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=size, in_channels=channels + given, out_channels=channels, layers_per_block=1,
        block_out_channels=(8, 16), norm_num_groups=4, down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    ).eval()  # fmt: skip
    DDIMPipeline(unet, DDIMScheduler(**scheduler)).save_pretrained(folder)
    return unet


EDM = {
    "__name__": "EDMPrecondSuperResolution",
    "__module__": "physicsnemo.diffusion.preconditioners.legacy",
    "__args__": {"img_resolution": [16, 16], "img_in_channels": 2, "img_out_channels": 1, "sigma_data": 0.5},
}


def mdlus(path: Path, arguments: dict[str, Any] | None = None, weights: Any = None) -> Path:
    """Write an archive as physicsnemo does."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(2)} if weights is None else weights, buffer)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.pt", buffer.getvalue())
        archive.writestr("args.json", json.dumps(EDM | (arguments or {})))
        archive.writestr("metadata.json", json.dumps({"physicsnemo_version": "2.2.2", "mdlus_file_version": "0.1.0"}))
    return path

"""Which kind of file a network is in, and which files belong to it."""

import tarfile
import zipfile
from enum import Enum
from pathlib import Path

from parampi.errors import DataError

INDEX, CONFIG = "model_index.json", "config.json"
"""Files by which a folder of diffusers is known: of a pipeline, of one model."""
WEIGHTS = "diffusion_pytorch_model.safetensors"


class FileKind(Enum):
    """Kinds of files and folders that networks are kept in."""

    SAFETENSORS = "safetensors"
    CHECKPOINT = "checkpoint of torch.save"
    EXPORTED = "program of torch.export"
    SCRIPTED = "TorchScript program"
    MDLUS = "module of physicsnemo"
    DIFFUSERS = "folder of diffusers"

    @property
    def whole(self) -> bool:
        """Whether it holds a network, and not only the weights of one."""
        return self not in (FileKind.SAFETENSORS, FileKind.CHECKPOINT)


def kind_of(path: Path) -> FileKind:
    """Return the kind of a file or folder, by what is in it. Raises DataError where there is none, or it is of no kind."""
    if path.is_dir():
        if (path / INDEX).is_file() or ((path / CONFIG).is_file() and (path / WEIGHTS).is_file()):
            return FileKind.DIFFUSERS
        raise DataError(
            f"model.weights: the folder {path} has neither {INDEX} nor {CONFIG} beside {WEIGHTS}; give a folder of "
            f"diffusers, or "
            f"a file"
        )
    if not path.is_file():
        raise DataError(f"model.weights: there is no file {path}")
    if path.suffix == ".safetensors":
        return FileKind.SAFETENSORS
    names = members_of(path)
    if {"args.json", "model.pt"} <= {name.removeprefix("./") for name in names}:
        return FileKind.MDLUS
    ends = {name.partition("/")[2] for name in names}
    if "archive_format" in ends:
        return FileKind.EXPORTED
    if "constants.pkl" in ends:
        return FileKind.SCRIPTED
    if "data.pkl" in ends or path.suffix in (".pt", ".pth", ".ckpt", ".bin", ".tar"):
        return FileKind.CHECKPOINT
    return FileKind.SAFETENSORS  # reading it says what is wrong


def members_of(path: Path) -> list[str]:
    """Return the names in an archive, none for other files."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return archive.namelist()
        if tarfile.is_tarfile(path):
            with tarfile.open(path) as tar:
                return tar.getnames()
    except (OSError, zipfile.BadZipFile, tarfile.TarError):
        return []
    return []


def files_of(path: Path) -> dict[str, Path]:
    """Return the files of a network, by their names within its folder but for hidden ones; "" is the name of a single file.
    None where there is nothing."""
    try:
        if not path.is_dir():
            return {"": path} if path.is_file() else {}
    except (OSError, ValueError):  # no file can have such a name
        return {}
    inside = {one.relative_to(path): one for one in sorted(path.rglob("*")) if one.is_file()}
    return {name.as_posix(): one for name, one in inside.items() if not any(part[:1] == "." for part in name.parts)}

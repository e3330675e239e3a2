"""`parampi info`."""

import click


@click.command()
def info() -> None:
    """Versions and devices, for reports of trouble."""
    import torch

    import parampi
    from parampi.parallel.launch import mpi_version

    print(
        f"parampi {parampi.__version__}, torch {torch.__version__}, MPI {mpi_version()}, "
        f"{torch.cuda.device_count()} CUDA device(s)"
    )

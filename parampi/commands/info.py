"""`parampi info`."""

import click


@click.command()
def info() -> None:
    """Show versions and devices, for reports of trouble."""
    import torch

    import parampi
    from parampi.parallel.launch import mpi_version
    from parampi.report import count

    print(
        f"parampi {parampi.__version__}, torch {torch.__version__}, MPI {mpi_version()}, "
        f"{count(torch.cuda.device_count(), 'CUDA device')}"
    )

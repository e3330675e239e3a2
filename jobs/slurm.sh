#!/bin/bash
# One ensemble on several nodes under Slurm, from the folder and the virtual environment in which it is submitted:
#
#     sbatch jobs/slurm.sh examples/01_turbulence/run.yaml sampling.members=16
#
#SBATCH --job-name=parampi
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=1
#SBATCH --time=00:15:00
set -eu

# each rank computes on its own cores; without this it would take all those of the node
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

# -K: a rank that is killed ends the job, which would otherwise wait until its time limit
# --mpi: pmi2 for MPICH and Intel MPI, pmix for Open MPI (srun --mpi=list); where it does not fit, parampi refuses to start
srun -K --mpi="${PARAMPI_SRUN_MPI:-pmi2}" parampi run "$@"

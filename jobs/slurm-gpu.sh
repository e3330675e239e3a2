#!/bin/bash
# Several nodes with GPUs, one rank per GPU; members first, the ranks of a node along time.
#
#     sbatch jobs/slurm-gpu.sh run.yaml parallel.network_batch=32
#
#SBATCH --job-name=parampi
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=4
# every rank sees all GPUs of its node and takes the one of its number there (parallel.device: auto)
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=01:00:00
set -eu

# the threads that feed a GPU; without this each rank would take all cores of the node
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
# parallel file systems without locks refuse HDF5 files otherwise; parampi opens each file in one process only
export HDF5_USE_FILE_LOCKING=FALSE

# --cpu-bind=cores: a rank and the memory it uses stay near its GPU
# time_ranks: the ranks of one node, whose messages need no network
srun -K --mpi="${PARAMPI_SRUN_MPI:-pmi2}" --cpu-bind=cores parampi run "$@" parallel.time_ranks="${SLURM_NTASKS_PER_NODE:-4}"

#!/bin/bash
# How a configuration scales on this cluster: a network call, messages, and whole members on 1, 2, 4 ... ranks, in one job.
#
#     RANKS=1,2,4 sbatch --ntasks=4 jobs/slurm-scaling.sh examples/01_turbulence/run.yaml
#     parampi plan examples/01_turbulence/run.yaml --machine machine-JOB.json --ranks 1,2,4,8,16
#
#SBATCH --job-name=parampi-scaling
#SBATCH --ntasks=4
#SBATCH --cpus-per-task=1
#SBATCH --time=00:30:00
set -eu
config=$1
shift
ranks=${RANKS:-1,2,$SLURM_NTASKS}
machine=machine-$SLURM_JOB_ID.json

# each rank computes on its own cores; without this it would take all those of the node
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

# -K: a rank that is killed ends the job; --mpi: pmi2 for MPICH and Intel MPI, pmix for Open MPI
launch() { srun -K --mpi="${PARAMPI_SRUN_MPI:-pmi2}" "$@"; }

# on one rank, and on all of a node's at once, which share its memory
launch --ntasks=1 --nodes=1 parampi bench network "$config" "$@" --out "$machine"
launch parampi bench network "$config" "$@" --out "$machine"
launch parampi bench scan --out "$machine"
launch parampi bench scaling "$config" "$@" --ranks "$ranks" --figure "scaling-$SLURM_JOB_ID.png"

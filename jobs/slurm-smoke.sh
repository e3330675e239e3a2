#!/bin/bash
# Whether everything fits together on this cluster, in a minute: two ranks, two members, a loose tolerance.
#
#     sbatch jobs/slurm-smoke.sh examples/01_turbulence/run.yaml
#
#SBATCH --job-name=parampi-smoke
#SBATCH --nodes=1
#SBATCH --ntasks=2
#SBATCH --cpus-per-task=1
#SBATCH --time=00:05:00
set -eu
config=$1
shift

# each rank computes on its own cores; without this it would take all those of the node
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

parampi info
# time_ranks: both ranks share every window, so that messages are tried too
srun -K --mpi="${PARAMPI_SRUN_MPI:-pmi2}" parampi run "$config" sampling.members=2 parallel.time_ranks=2 sampling.tolerance=0.1 \
  output.directory="smoke-$SLURM_JOB_ID" "$@"

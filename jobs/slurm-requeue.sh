#!/bin/bash
# An ensemble that takes longer than the queue allows: at the time limit the run stops in good order, the job goes back into the
# queue, and goes on where it was. From the folder and the virtual environment in which it is submitted:
#
#     sbatch jobs/slurm-requeue.sh scratch/ensemble examples/01_turbulence/run.yaml sampling.members=64
#
#SBATCH --job-name=parampi
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=1
#SBATCH --time=01:00:00
# may be put back, by its own wish or when a node fails
#SBATCH --requeue
# the log of every part of the run in one file
#SBATCH --open-mode=append
# USR1 to the ranks (not to this shell: that would be B:USR1) so many seconds before the limit: one round and a checkpoint
#SBATCH --signal=USR1@120
set -eu
out=$1 config=$2
shift 2

# each rank computes on its own cores; without this it would take all those of the node
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

if compgen -G "$out/.parampi-*/run.json" >/dev/null; then
  set -- resume "$out" --config "$config" "$@"
else
  set -- run "$config" output.directory="$out" "$@"
fi

# MPICH names memory by the number of the job, which is the same each time: what a killed attempt has left is in the way
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --mpi=none \
  find /dev/shm -maxdepth 1 -user "$(id -u)" -name 'mpich_shm_*' -mmin +1 -delete || true

# --mpi: pmi2 for MPICH and Intel MPI, pmix for Open MPI (srun --mpi=list)
# no -K here: a rank that leaves in good order must not have the others killed
code=0
srun --mpi="${PARAMPI_SRUN_MPI:-pmi2}" parampi "$@" || code=$?

# 75: stopped in good order before the end
if [ "$code" = 75 ]; then
  scontrol requeue "$SLURM_JOB_ID"
  exit 0
fi
exit "$code"

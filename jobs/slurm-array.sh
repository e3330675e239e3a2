#!/bin/bash
# Many members as an array of small jobs that start whenever there is room: task k draws members 8 k ... 8 k + 7 on one node. A
# member depends on the seed and its own number alone, so the parts together are the ensemble of one large job.
#
#     sbatch --array=0-7 jobs/slurm-array.sh scratch/parts examples/01_turbulence/run.yaml
#     parampi merge scratch/parts/part-*/ensemble.nc --output scratch/ensemble.nc
#
#SBATCH --job-name=parampi
#SBATCH --nodes=1
#SBATCH --ntasks=4
#SBATCH --cpus-per-task=1
#SBATCH --time=01:00:00
set -eu
out=$1 config=$2
shift 2
each=${MEMBERS_PER_TASK:-8}
first=$((SLURM_ARRAY_TASK_ID * each))

# each rank computes on its own cores; without this it would take all those of the node
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

# -K: a rank that is killed ends the job, which would otherwise wait until its time limit
srun -K --mpi="${PARAMPI_SRUN_MPI:-pmi2}" parampi run "$config" "$@" output.directory="$out/part-$SLURM_ARRAY_TASK_ID" \
  sampling.members="[$(seq -s, "$first" $((first + each - 1)))]"

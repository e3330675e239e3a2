#!/bin/bash
# PBS Pro: stops before the time limit, submits itself again and goes on where it was. Checked for syntax and against the
# documentation of PBS Pro only.
#
#     qsub -v OUT=$PWD/ensemble,CONFIG=$PWD/run.yaml jobs/pbs.sh
#
#PBS -N parampi
#PBS -l select=2:ncpus=4:mpiprocs=2:ompthreads=2
#PBS -l walltime=01:00:00
#PBS -j oe
set -eu
# jobs start in the home folder
cd "$PBS_O_WORKDIR"

# each rank computes on its own cores (PBS sets this from ompthreads, where the site has not switched that off)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}

if compgen -G "$OUT/.parampi-*/run.json" >/dev/null; then
  set -- resume "$OUT" --config "$CONFIG"
else
  set -- run "$CONFIG" output.directory="$OUT"
fi

# max_walltime: PBS sends no signal before its limit; leave it 5 minutes for the last round and the checkpoint
code=0
mpiexec parampi "$@" checkpoint.max_walltime=0:55:00 || code=$?

# 75: stopped in good order before the end
if [ "$code" = 75 ]; then
  qsub -v OUT="$OUT",CONFIG="$CONFIG" jobs/pbs.sh
  exit 0
fi
exit "$code"

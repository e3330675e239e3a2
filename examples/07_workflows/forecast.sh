#!/usr/bin/env bash
# Draw the forecasts that start on a day, or go on with them where they were cut: forecast.sh DAY MEMBERS RANKS
set -eu
day=$1 members=$2 ranks=$3 folder=output/$1
launch=parampi
if [ "$ranks" -gt 1 ]; then launch="mpiexec -n $ranks parampi"; fi
if [ -d "$folder/.parampi-ensemble.nc" ]; then # the checkpoint of a run that is not complete
  exec $launch resume "$folder"
fi
exec $launch run run.yaml "condition.select=[$day]" "output.directory=$folder" "sampling.members=$members" --overwrite

#!/bin/sh
# Makes a table of the paper from a checkout: scripts/reproduce.sh table8 [overrides of alchemist run]
#
# The first argument is table1, table2, table3, table4, table8, table9 or figure5. The script lists the runs that exist
# and the data that are missing, makes the missing runs, and prints the table with the paper's numbers and ours. It also
# writes the table in every format to $OUTPUTS/tables; $OUTPUTS is the directory outputs of the current one by default.
# The package contains the data of youtube and sms and draws those of toy_birds (table2); the other datasets are read
# from $ALCHEMIST_DATA (scripts/prepare_data.py makes them). A job that fails leaves its place in the table empty; the
# script goes on. Overrides select a part of the sweep (dataset=youtube,sms) or change it (feature_extractor=minilm); the
# table has the runs with these settings.
set -eu

name=${1:-}
case $name in
  table1|table2|table3|table4|table8|table9|figure5) shift ;;
  *)
    echo "error: '$name' is not a table; name table1, table2, table3, table4, table8, table9 or figure5, as in" \
      "scripts/reproduce.sh table8 dataset=youtube,sms" >&2
    exit 1
    ;;
esac
outputs=${OUTPUTS:-outputs}
for argument in "$@"; do
  case $argument in paths.outputs=*) outputs=${argument#*=} ;; esac
done
alchemist=$(dirname "$0")/../.venv/bin/alchemist
[ -x "$alchemist" ] || alchemist=alchemist

mkdir -p "$outputs/runs"
"$alchemist" status "$outputs" -m "+experiment=$name" "$@" || true
"$alchemist" run -m "+experiment=$name" "$@" "paths.outputs=$outputs" || true
# The overrides are the filters of the table; options such as --config-dir are not.
for argument in "$@"; do
  shift
  case $argument in
    -*) ;;
    *=*) set -- "$@" "$argument" ;;
  esac
done
"$alchemist" compare "$outputs" --table "$name" "$@"
"$alchemist" compare "$outputs" --table "$name" "$@" --out "$outputs/tables" --overwrite

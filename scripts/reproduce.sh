#!/bin/sh
# Makes a table of the paper from a checkout: scripts/reproduce.sh table8 [overrides of alchemist run]
#
# The first argument is table1, table3, table4, table8, table9 or figure5. The script lists the runs that exist and the
# data that are missing, makes the missing runs, and prints the table with the paper's numbers and ours. It also writes
# the table in every format to $OUTPUTS/tables. Data are read from $ALCHEMIST_DATA. A job that fails leaves its place in
# the table empty; the script goes on.
set -eu

name=${1:?"name a table, as in scripts/reproduce.sh table8"}
shift
cd "$(dirname "$0")/.."
outputs=${OUTPUTS:-outputs}
alchemist=.venv/bin/alchemist
[ -x "$alchemist" ] || alchemist=alchemist

mkdir -p "$outputs/runs"
# An override that selects a part of the sweep selects the same part of the table.
only=
for override in "$@"; do
  case $override in dataset=*|label_model=*|method=*|supplement=*|gold=*) only="$only $override" ;; esac
done
"$alchemist" status "$outputs" -m "+experiment=$name" "$@" || true
"$alchemist" run -m "+experiment=$name" "$@" "paths.outputs=$outputs" || true
# shellcheck disable=SC2086
"$alchemist" compare "$outputs" --table "$name" $only
# shellcheck disable=SC2086
"$alchemist" compare "$outputs" --table "$name" $only --out "$outputs/tables"

#!/bin/sh
# Rebuilds a table of the paper from a checkout: scripts/reproduce.sh table8 [overrides of alchemist run]
#
# NAME is table1, table3, table4, table8, table9 or figure5. First it says which runs there are and what data are
# missing, then it makes the runs that are missing, then the table, the paper's numbers beside ours: on the terminal and,
# in every format, under $OUTPUTS/tables. Data are looked for under $ALCHEMIST_DATA. A job that fails costs its place in
# the table, not the table.
set -eu

name=${1:?"name a table, as in scripts/reproduce.sh table8"}
shift
cd "$(dirname "$0")/.."
outputs=${OUTPUTS:-outputs}
alchemist=.venv/bin/alchemist
[ -x "$alchemist" ] || alchemist=alchemist

mkdir -p "$outputs/runs"
# What narrows the sweep narrows the table, too.
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

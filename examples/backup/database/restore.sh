#!/bin/sh
# Puts back what the latest dump of /backups has, or the one that is named: all of it or, when something fails, nothing.
set -e
PGPASSWORD=$(cat /run/secrets/password)
export PGPASSWORD
file=$1
[ -n "$file" ] || file=$(ls /backups/*.dump | tail -n 1)
pg_restore --single-transaction --clean --if-exists --no-owner --dbname "$PGDATABASE" "$file"
echo "restored $(psql --no-align --tuples-only --quiet --command 'SELECT count(*) FROM notes') notes from $file"

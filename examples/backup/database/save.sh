#!/bin/sh
# Writes a dump of the database to /backups, under its name only when a restore into an empty database gave every row.
set -e
PGPASSWORD=$(cat /run/secrets/password)
export PGPASSWORD
file=/backups/$PGDATABASE-$(date -u +%Y%m%d-%H%M%S).dump
proof=${PGDATABASE}_proof

rows() {
    psql --no-align --tuples-only --quiet --dbname "$1" --command 'SELECT count(*) FROM notes'
}

pg_dump --format custom --file "$file.part"
dropdb --if-exists "$proof" 2>/dev/null
createdb "$proof"
pg_restore --exit-on-error --no-owner --dbname "$proof" "$file.part"
saved=$(rows "$proof")
dropdb "$proof"
[ "$saved" -gt 0 ] || { echo "there is nothing to save" >&2; exit 1; }
mv "$file.part" "$file"
echo "saved $saved notes in $file"

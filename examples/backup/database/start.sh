#!/bin/sh
# Starts PostgreSQL for one database, $DATABASE, which belongs to a user of the same name with the password of the secret.
# The first start makes it beside its place and renames it at the end: what was left half made is made anew.
set -e
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
if [ ! -e /data/main ]; then
    rm -rf /data/new
    initdb --pgdata /data/new --encoding UTF8 --locale C.UTF-8 --auth-local peer --auth-host scram-sha-256 >/dev/null
    echo 'host all all all scram-sha-256' >>/data/new/pg_hba.conf
    pg_ctl --pgdata /data/new --wait --silent --options "-c listen_addresses=''" start
    psql --quiet --set name="$DATABASE" --set password="$(cat /run/secrets/password)" <<'SQL'
CREATE ROLE :"name" LOGIN CREATEDB PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
SQL
    pg_ctl --pgdata /data/new --wait --silent stop
    mv /data/new /data/main
fi
exec postgres -D /data/main -c "listen_addresses=*"

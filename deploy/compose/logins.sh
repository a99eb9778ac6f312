#!/bin/sh
# Runs once, when PostgreSQL makes its first database: the login of the workers, which may do no more than a worker has to.
# `retryd migrate` gives the role retryd_worker its rights; it takes a role that is already there.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --set password="$(cat "${WORKER_PASSWORD_FILE:-/run/secrets/worker-password}")" <<'SQL'
create role retryd_worker nologin;
create role shop_worker login password :'password' in role retryd_worker;
SQL

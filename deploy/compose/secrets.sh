#!/bin/sh
# Makes the passwords of compose.yaml and the addresses that hold them, each in a file; those that are there stay.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
chmod 700 secrets # the files can be read in the containers, whose users are not yours; the folder is closed to others
cd secrets
umask 022

make_password() {
  [ -s "$1" ] || head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$1"
}

for name in postgres worker grafana; do
  make_password "$name-password"
done
printf 'postgresql://shop:%s@postgres:5432/shop\n' "$(cat postgres-password)" >owner-url
printf 'postgresql://shop_worker:%s@postgres:5432/shop\n' "$(cat worker-password)" >worker-url

#!/bin/sh
# The themes come with the program, everything else is made by Ghost in the volume.
set -e
for folder in apps data files images logs media public settings themes; do mkdir -p "/content/$folder"; done
cp -R content/themes/. /content/themes/
exec node index.js

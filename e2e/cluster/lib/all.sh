# shellcheck shell=bash
# Reads every part of the local cluster: the settings first, the others in any order.
# shellcheck disable=SC1090
for part in "${BASH_SOURCE[0]%/*}"/{settings,say,addons,cgroups,control-plane,health,images,kernel,leftovers,network,node,processes,programs,teardown,templates}.sh; do
  . "$part"
done

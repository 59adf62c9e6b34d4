# SPDX-License-Identifier: Apache-2.0
# fresh_system SUITE TARGET [MIRROR]: makes a minimal system of Debian or Ubuntu in the folder TARGET, which keeps the last one's archive in build/.
# MIRROR is by default where this machine's packages come from. Needs root and debootstrap; `root` is the repository.
fresh_system() {
  local suite=$1 target=$2 mirror=${3:-} kept=$root/build/debootstrap-$1.tar
  mkdir -p "$target" "$root/build"
  if [ ! -f "$kept" ]; then
    # shellcheck disable=SC2016  # apt replaces it
    [ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' | head -n 1)
    debootstrap --variant=minbase "$suite" "$target" "$mirror" || return 1
    tar -C "$target" -cf "$kept.part" . && mv "$kept.part" "$kept"
  else
    tar -C "$target" -xpf "$kept"
  fi
}
